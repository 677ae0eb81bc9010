package gridloom.spring;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;

/** What {@code gridloom worker --attach} is to an application: a process of its own that gives it a shard and writes down what it hears. */
final class FakeEngine {
    private FakeEngine() {}

    private static void send(DataOutputStream out, String message) throws IOException {
        byte[] body = message.getBytes(StandardCharsets.UTF_8);
        out.writeInt(body.length);
        out.write(body);
        out.flush();
    }

    public static void main(String[] args) throws Exception {
        Path heard = Paths.get(args[0]).resolve("heard");
        String address = System.getenv("GRIDLOOM_SOCKET");
        try (Socket socket = new Socket("127.0.0.1", Integer.parseInt(address.substring(address.lastIndexOf(':') + 1)))) {
            DataInputStream in = new DataInputStream(socket.getInputStream());
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            send(out, "{\"type\":\"attach\",\"protocol\":[1,1],\"token\":\"" + System.getenv("GRIDLOOM_TOKEN") + "\",\"worker\":\"w\"}");
            while (true) {
                byte[] body = new byte[in.readInt()];
                in.readFully(body);
                String message = new String(body, StandardCharsets.UTF_8);
                Files.write(heard, (message + "\n").getBytes(StandardCharsets.UTF_8), StandardOpenOption.CREATE,
                        StandardOpenOption.APPEND);
                if (message.contains("\"hello\"")) {
                    send(out, "{\"type\":\"welcome\",\"protocol\":1,\"worker\":\"w\",\"grace_ms\":2000}");
                    send(out, "{\"type\":\"shards\",\"run\":\"r_r_1\",\"job\":\"r\",\"handler\":\"resize-images\",\"nonce\":\"00\","
                            + "\"slice\":0,\"slices\":1,\"attempt\":1,\"fence\":1,\"params\":{},\"shards\":[{\"id\":1,\"page\":0}]}");
                } else if (message.contains("\"done\"") && args[1].equals("dies")) {
                    Runtime.getRuntime().halt(9);
                } else if (message.contains("\"bye\"")) {
                    send(out, "{\"type\":\"drain\"}");
                }
            }
        } catch (EOFException over) {
            // As it should end.
        }
    }
}
