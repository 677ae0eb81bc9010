package gridloom;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/** A program with handlers, as a user has one: started by tests, in a process of its own. */
final class Program {
    private Program() {}

    public static void main(String[] args) throws Exception {
        Path folder = Paths.get(args[0]);
        Worker worker = Worker.create();
        if (args.length > 1) {
            worker.command(args[1]).queue("fast").options("--grace", "5s");
        }
        worker.handler("work", shard -> {
            if (shard.page() == 0 && shard.attempt() == 1) {
                touch(folder, "begun");
                while (!Files.exists(folder.resolve("go"))) {
                    Thread.sleep(5);
                }
            }
        });
        worker.handler("spins", shard -> {
            touch(folder, "begun");
            for (long n = 0; n >= 0; n = (n + 1) & 0xff) {
                // Hears nothing.
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> touch(folder, "late")));
        System.out.println("hello from the program");
        worker.run();
        touch(folder, "returned");
    }

    private static void touch(Path folder, String name) {
        try {
            Files.write(folder.resolve(name), new byte[0]);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
