import gridloom.Client;
import gridloom.Hold;
import gridloom.Permanent;
import gridloom.Receipt;
import gridloom.Retry;
import gridloom.Run;
import gridloom.RunFailed;
import gridloom.Shard;
import gridloom.Submission;
import gridloom.Worker;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;

/** Writes what it does of which shard, and when, into a file that all processes of a test share. */
public final class Steady {
    private static final String PID = ManagementFactory.getRuntimeMXBean().getName().split("@")[0];
    private static Path log;

    private static void told(String what, Shard shard) throws IOException {
        // One clock for all processes of the machine, and one write: lines stay whole.
        String line = what + " " + shard.key() + " " + PID + " " + System.nanoTime() + "\n";
        try (FileChannel file = FileChannel.open(log, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            file.write(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8)));
        }
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("client")) {
            client(args[1]);
            return;
        }
        log = Paths.get(args[0]);
        Worker worker = Worker.create();
        if (System.getenv("COMMAND") != null) {
            worker.command(System.getenv("COMMAND")).slots(2);
        }
        worker.handler("steady", shard -> {
            told("begin", shard);
            for (int beat = 0; beat < 10; beat++) {
                shard.check();
                Thread.sleep(20);
                told("beat", shard);
                shard.rows();
            }
            told("end", shard);
        });
        AtomicBoolean held = new AtomicBoolean();
        worker.handler("moody", shard -> {
            if (shard.page() == 1 && shard.attempt() == 1) {
                throw new Retry(Duration.ofMillis(100), "once more");
            }
            if (shard.page() == 2) {
                throw new Permanent("no such bucket", new IllegalStateException("gone"));
            }
            if (shard.page() == 3 && !held.getAndSet(true)) {
                throw new Hold(Duration.ofMillis(200), "HTTP 429");
            }
            shard.count("attempts", shard.attempt());
            shard.rows();
        });
        worker.pages("found", probe -> {
            for (long first = probe.after(0) + 1; first <= 1_000; first += 100) {
                if (!probe.page(first, first + 99)) {
                    return;
                }
            }
        });
        worker.handler("found", shard -> {
            for (long number = shard.fromNumber(); number <= shard.toNumber(); number++) {
                if (shard.owns(number)) {
                    shard.rows();
                }
            }
        });
        worker.run();
    }

    private static void client(String api) throws Exception {
        Client client = Client.of(api);
        Submission monday = Submission.create().id("monday").param("sleep_ms", 1);
        Receipt first = client.submit("plain", monday);
        Receipt second = client.submit("plain", monday);
        Run run = client.await(first, Duration.ofMinutes(1));
        String state = "none";
        try {
            client.await(client.submit("plain", Submission.create().param("fail_percent", 100.0).param("permanent", true)));
        } catch (RunFailed error) {
            state = error.run().state();
        }
        System.out.println(first.answer().get() + " " + second.answer().get() + " " + run.id() + " " + run.state() + " "
                + run.shards().get("done") + " " + state);
    }
}
