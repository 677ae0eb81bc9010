package gridloom;

import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** What {@code gridloom worker --attach} is to a program that starts it: started by tests, in a process of its own. */
final class Attached {
    private Attached() {}

    private static Wire connect(String token) throws Exception {
        String address = System.getenv("GRIDLOOM_SOCKET");
        int port = Integer.parseInt(address.substring("tcp:127.0.0.1:".length()));
        Wire wire = new Wire();
        wire.take(new Socket("127.0.0.1", port));
        wire.send("{\"type\":\"attach\",\"protocol\":[1,1],\"token\":\"" + token + "\",\"worker\":\"fake\"}");
        return wire;
    }

    public static void main(String[] args) throws Exception {
        String mode = args[0];
        Path folder = Paths.get(args[1]);
        if (mode.equals("refuses")) {
            System.exit(2);
        }
        if (mode.equals("stranger")) {
            Wire stranger = connect("fedcba9876543210");
            if (stranger.receive() == null) {
                System.out.println("stranger was sent away");
            }
        }
        Wire wire = connect(System.getenv("GRIDLOOM_TOKEN"));
        if (!"hello".equals(wire.receive().get("type"))) {
            System.exit(3);
        }
        wire.send("{\"type\":\"welcome\",\"protocol\":1,\"worker\":\"fake\",\"grace_ms\":2000}");
        Files.write(folder.resolve("attached"), new byte[0]);
        if (mode.equals("waits")) {
            Map<String, Object> bye = wire.receive();
            System.out.println("heard " + bye);
            wire.drain();
            return;
        }
        List<Long> ids = wire.tile(1, "work");
        if (mode.equals("dies")) {
            while (!Files.exists(folder.resolve("begun"))) {
                Thread.sleep(5);
            }
            Runtime.getRuntime().halt(9);
        }
        int done = wire.answers(ids).size();
        System.out.println("attached: " + String.join(" ", Arrays.asList(args).subList(2, args.length)) + ", queue "
                + System.getenv("GRIDLOOM_WORKER_QUEUES") + ", done " + done);
        wire.drain();
    }
}
