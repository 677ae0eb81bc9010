package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A worker as far as a child sees it: a real socket, and frames that are put together here. */
final class Wire implements AutoCloseable {
    static final String TOKEN = "0123456789abcdef";
    /** How long anything may take on a busy machine. */
    static final int SOON_MS = 60_000;

    private final ServerSocket listener;
    private Socket socket;
    private DataInputStream in;
    private DataOutputStream out;
    private long nextId = 1;
    Map<String, Object> hello;
    final List<Map<String, Object>> progress = new ArrayList<>();
    /** Frames of answers, as they came. */
    final List<Map<String, Object>> frames = new ArrayList<>();

    Wire() throws IOException {
        listener = new ServerSocket(0, 8, InetAddress.getByAddress(new byte[] {127, 0, 0, 1}));
        listener.setSoTimeout(SOON_MS);
    }

    String address() {
        return "tcp:127.0.0.1:" + listener.getLocalPort();
    }

    /** Waits for the child and its hello. */
    Wire accept() throws IOException {
        take(listener.accept());
        hello = receive();
        assertNotNull(hello, "the child closed the connection before its hello");
        assertEquals("hello", hello.get("type"));
        send("{\"type\":\"welcome\",\"protocol\":1,\"worker\":\"fake\",\"grace_ms\":2000,\"news\":null}");
        return this;
    }

    void take(Socket socket) throws IOException {
        this.socket = socket;
        socket.setSoTimeout(SOON_MS);
        in = new DataInputStream(socket.getInputStream());
        out = new DataOutputStream(socket.getOutputStream());
    }

    void send(String message) throws IOException {
        byte[] body = message.getBytes(StandardCharsets.UTF_8);
        byte[] frame = new byte[4 + body.length];
        for (int i = 0; i < 4; i++) {
            frame[i] = (byte) (body.length >> 24 - 8 * i);
        }
        System.arraycopy(body, 0, frame, 4, body.length);
        raw(frame);
    }

    void raw(byte[] bytes) throws IOException {
        out.write(bytes);
        out.flush();
    }

    /** {@code null}: the other side has closed. */
    @SuppressWarnings("unchecked")
    Map<String, Object> receive() throws IOException {
        byte[] body;
        try {
            int length = in.readInt();
            assertTrue(length > 0 && length <= 8_388_608, "a frame of " + length);
            body = new byte[length];
            in.readFully(body);
        } catch (EOFException | SocketException over) {
            return null;
        }
        return (Map<String, Object>) Json.read(new String(body, StandardCharsets.UTF_8));
    }

    static Map<String, Object> common(String handler) {
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("run", "sizes_s_7");
        said.put("job", "sizes");
        said.put("handler", handler);
        said.put("nonce", "4b0f3d5cf6c8e1a2");
        said.put("slice", 3);
        said.put("slices", 16);
        said.put("attempt", 1);
        said.put("fence", 1_795_968_000_000_123L);
        said.put("params", new LinkedHashMap<>());
        said.put("settings", null);
        said.put("timeout_ms", null);
        return said;
    }

    /** Sends a tile of so many pages; {@code more} are pairs of a field and its value. The ids of its shards. */
    List<Long> tile(int shards, String handler, Object... more) throws IOException {
        List<Long> ids = new ArrayList<>();
        List<Object> cells = new ArrayList<>();
        for (int page = 0; page < shards; page++) {
            Map<String, Object> cell = new LinkedHashMap<>();
            cell.put("id", nextId);
            cell.put("page", page);
            ids.add(nextId++);
            cells.add(cell);
        }
        Map<String, Object> said = common(handler);
        said.put("type", "shards");
        said.put("shards", cells);
        put(said, more);
        send(Json.write(said));
        return ids;
    }

    long probe(String handler, Object... more) throws IOException {
        Map<String, Object> said = common(handler);
        said.put("type", "probe");
        said.put("id", nextId);
        said.put("page", 0);
        said.put("after", null);
        said.put("room", 786_432);
        said.put("pages_max", 4096);
        put(said, more);
        send(Json.write(said));
        return nextId++;
    }

    private static void put(Map<String, Object> said, Object... more) {
        for (int i = 0; i < more.length; i += 2) {
            said.put((String) more[i], more[i + 1]);
        }
    }

    void stop(String why, Long... ids) throws IOException {
        send("{\"type\":\"stop\",\"ids\":" + Arrays.toString(ids) + ",\"why\":\"" + why + "\"}");
    }

    /** Waits until each id was answered; none may be twice, and no other. */
    Map<Long, Map<String, Object>> answers(List<Long> ids) throws IOException {
        Map<Long, Map<String, Object>> found = new LinkedHashMap<>();
        while (found.size() < ids.size()) {
            Map<String, Object> message = receive();
            assertNotNull(message, "the child is gone");
            String type = (String) message.get("type");
            if (type.equals("progress")) {
                progress.add(message);
                continue;
            }
            frames.add(message);
            for (Map<String, Object> answer : of(message, type)) {
                Long id = (Long) answer.get("id");
                assertTrue(ids.contains(id), () -> "nobody asked for " + answer);
                assertFalse(found.containsKey(id), () -> "twice: " + answer);
                found.put(id, answer);
            }
        }
        return found;
    }

    @SuppressWarnings("unchecked")
    private static List<Map<String, Object>> of(Map<String, Object> message, String type) {
        List<Map<String, Object>> answers = new ArrayList<>();
        if (type.equals("pages")) {
            answers.add(message);
        } else if (type.equals("stopped")) {
            for (Object id : (List<Object>) message.get("ids")) {
                Map<String, Object> answer = new LinkedHashMap<>();
                answer.put("id", id);
                answer.put("type", type);
                answers.add(answer);
            }
        } else {
            assertTrue(type.equals("done") || type.equals("fail"), () -> "a message of type " + type);
            for (Object one : (List<Object>) message.get("shards")) {
                Map<String, Object> answer = new LinkedHashMap<>((Map<String, Object>) one);
                answer.put("type", type);
                answers.add(answer);
            }
        }
        return answers;
    }

    Map<String, Object> answer(long id) throws IOException {
        return answers(java.util.Collections.singletonList(id)).get(id);
    }

    /** Says that nothing more comes, and waits until the child has closed. */
    void drain() throws IOException {
        send("{\"type\":\"drain\"}");
        Map<String, Object> late;
        while ((late = receive()) != null) {
            assertEquals("progress", late.get("type"));
        }
    }

    void hangUp() throws IOException {
        socket.close();
    }

    @Override
    public void close() throws IOException {
        listener.close();
        if (socket != null) {
            socket.close();
        }
    }
}
