package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How processes end: real ones, by drain, by signals, without their worker. */
final class EndsTest {
    @TempDir
    Path folder;

    private Wire wire;
    private Process process;

    @BeforeEach
    void open() throws Exception {
        wire = new Wire();
    }

    @AfterEach
    void close() throws Exception {
        wire.close();
        if (process != null) {
            process.destroyForcibly().waitFor();
        }
    }

    /** {@code java ... gridloom.Program FOLDER MORE...} */
    private ProcessBuilder program(String... more) {
        List<String> command = new ArrayList<>(Arrays.asList(
                System.getProperty("java.home") + File.separator + "bin" + File.separator + "java", "-XX:TieredStopAtLevel=1",
                "-Xshare:auto", "-cp", System.getProperty("java.class.path"), Program.class.getName(), folder.toString()));
        command.addAll(Arrays.asList(more));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output().toFile());
        builder.environment().keySet().removeIf(name -> name.startsWith("GRIDLOOM_"));
        return builder;
    }

    private Path output() {
        return folder.resolve("output");
    }

    private String said() throws Exception {
        return new String(Files.readAllBytes(output()), StandardCharsets.UTF_8);
    }

    private void startChild() throws Exception {
        ProcessBuilder builder = program();
        builder.environment().put("GRIDLOOM_SOCKET", wire.address());
        builder.environment().put("GRIDLOOM_TOKEN", Wire.TOKEN);
        builder.environment().put("GRIDLOOM_SLOTS", "2");
        process = builder.start();
        wire.accept();
        assertEquals(Wire.TOKEN, wire.hello.get("token"));
        assertEquals(2L, wire.hello.get("slots"));
    }

    private int code() throws Exception {
        assertTrue(process.waitFor(Wire.SOON_MS, TimeUnit.MILLISECONDS), "the process ends");
        return process.exitValue();
    }

    private boolean is(String name) {
        return Files.exists(folder.resolve(name));
    }

    private void allow() throws Exception {
        Files.write(folder.resolve("go"), new byte[0]);
    }

    private void term() throws Exception {
        // Process.destroy() is SIGTERM where there are signals, and closes our end of its output: that is a file here.
        process.destroy();
    }

    @Test
    void drained_child_returns_from_run_and_ends_with_0() throws Exception {
        startChild();
        List<Long> ids = wire.tile(2, "work");
        Eventually.is("it runs", () -> is("begun"));
        wire.send("{\"type\":\"drain\"}");
        allow();
        wire.answers(ids);
        assertEquals(0, code(), this::saidOrNothing);
        assertTrue(is("returned"));
        assertTrue(said().contains("hello from the program"));
    }

    private String saidOrNothing() {
        try {
            return said();
        } catch (Exception nothing) {
            return "";
        }
    }

    @Test
    void connection_that_ends_without_drain_ends_the_process_at_once() throws Exception {
        startChild();
        wire.tile(1, "spins");
        wire.tile(1, "work", "attempt", 2);
        Eventually.is("it runs", () -> is("begun"));
        wire.hangUp();
        assertEquals(70, code(), this::saidOrNothing);
        assertFalse(is("late") || is("returned"));
    }

    @Test
    void sigterm_asks_for_nothing_more_and_what_comes_all_the_same_is_run() throws Exception {
        startChild();
        List<Long> ids = wire.tile(1, "work");
        Eventually.is("it runs", () -> is("begun"));
        term();
        assertEquals("bye", wire.receive().get("type"));
        assertEquals("done", wire.answer(wire.tile(1, "work", "attempt", 2).get(0)).get("type"));
        allow();
        wire.answers(ids);
        wire.drain();
        assertEquals(0, code(), this::saidOrNothing);
    }

    @Test
    void second_sigterm_ends_the_process() throws Exception {
        startChild();
        wire.tile(1, "spins");
        Eventually.is("it runs", () -> is("begun"));
        term();
        assertEquals("bye", wire.receive().get("type"));
        term();
        assertNotEquals(0, code());
    }

    /** A program that starts {@code gridloom worker --attach}, which is {@link Attached} here. */
    private void startAttached(String mode) throws Exception {
        Path command = folder.resolve("gridloom");
        String java = System.getProperty("java.home") + "/bin/java";
        String script = "#!/bin/sh\nexec '" + java + "' -XX:TieredStopAtLevel=1 -cp '" + System.getProperty("java.class.path") + "' "
                + Attached.class.getName() + " " + mode + " '" + folder + "' \"$@\"\n";
        Files.write(command, script.getBytes(StandardCharsets.UTF_8));
        assertTrue(command.toFile().setExecutable(true));
        process = program(command.toString()).start();
    }

    @Test
    void program_starts_a_worker_beside_itself_and_returns_when_that_was_told_to_stop() throws Exception {
        allow();
        startAttached("peace");
        assertEquals(0, code(), this::saidOrNothing);
        assertTrue(is("returned"));
        assertTrue(said().contains("attached: worker --attach --grace 5s, queue fast, done 1"), said());
    }

    @Test
    void program_whose_worker_is_gone_stops_what_runs_and_is_told() throws Exception {
        startAttached("dies");
        assertEquals(1, code(), this::saidOrNothing);
        assertTrue(said().contains("WorkerGone: gridloom worker is gone (exit code 9)"), said());
        assertFalse(is("returned"));
    }

    @Test
    void who_does_not_know_the_token_is_sent_away() throws Exception {
        allow();
        startAttached("stranger");
        assertEquals(0, code(), this::saidOrNothing);
        assertTrue(said().contains("stranger was sent away"), said());
    }

    @Test
    void worker_that_ends_before_it_begins_is_told_and_so_is_a_command_that_is_not_there() throws Exception {
        startAttached("refuses");
        assertEquals(1, code());
        assertTrue(said().contains("ended with exit code 2 before it had begun"), said());
        process = program(folder.resolve("nothing").toString()).start();
        assertEquals(1, code());
        assertTrue(said().contains("Worker.command(PATH)"), said());
    }

    @Test
    void signal_ends_a_program_with_a_worker_of_its_own_in_peace() throws Exception {
        startAttached("waits");
        Eventually.is("it is attached", () -> is("attached"));
        term();
        assertEquals(0, code(), this::saidOrNothing);
        assertTrue(is("returned"));
    }
}
