package gridloom;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Frames as both sides have them: those of sdk/frames.json, and hostile ones. */
final class FramesTest {
    /** A frame of the file, with its name. */
    private static final class Frame {
        final String name;
        final Object message;
        final byte[] bytes;

        Frame(Map<?, ?> said) {
            name = (String) said.get("name");
            message = said.get("message");
            String hex = (String) said.get("hex");
            bytes = new byte[hex.length() / 2];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
            }
        }

        @Override
        public String toString() {
            return name;
        }
    }

    private static Map<?, ?> golden() throws IOException {
        byte[] file = Files.readAllBytes(Paths.get("../../frames.json"));
        return (Map<?, ?>) Json.read(new String(file, StandardCharsets.UTF_8));
    }

    private static Stream<Frame> of(String list) throws IOException {
        return ((List<?>) golden().get(list)).stream().map(one -> new Frame((Map<?, ?>) one));
    }

    static Stream<Frame> frames() throws IOException {
        return of("frames");
    }

    static Stream<Frame> broken() throws IOException {
        return of("broken");
    }

    private static Connection reading(byte[]... parts) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.write(part);
        }
        return new Connection(new ByteArrayInputStream(all.toByteArray()), new ByteArrayOutputStream(), () -> {});
    }

    @ParameterizedTest
    @MethodSource("frames")
    void golden_frame_is_read_as_its_message(Frame frame) throws Exception {
        Connection connection = reading(frame.bytes, frame.bytes);
        assertEquals(frame.message, connection.receive());
        assertEquals(frame.message, connection.receive());
        assertNull(connection.receive());
    }

    @ParameterizedTest
    @MethodSource("frames")
    void what_is_written_is_read_as_the_same(Frame frame) throws Exception {
        assertEquals(frame.message, reading(Connection.frame(Json.write(frame.message))).receive());
    }

    @ParameterizedTest
    @MethodSource("broken")
    void broken_frame_is_told_as_such(Frame frame) {
        assertThrows(ProtocolException.class, () -> reading(frame.bytes).receive());
    }

    @Test
    void file_has_frames_and_our_bound() throws IOException {
        assertTrue(frames().count() >= 20 && broken().count() >= 8);
        assertEquals((long) Connection.FRAME_MAX, golden().get("frame_max"));
        char[] much = new char[Connection.FRAME_MAX + 1];
        assertThrows(IllegalArgumentException.class, () -> Connection.frame(new String(much)));
    }

    @Test
    void length_takes_no_room_before_its_bytes_are_there() throws Exception {
        // The bytes behind it never come: a reader that believed the length would ask for all of them at once.
        int[] most = {0};
        InputStream in = new InputStream() {
            private final byte[] head = {0, (byte) 0x80, 0, 0, '{'};
            private int at;

            @Override
            public int read() {
                return at < head.length ? head[at++] & 0xff : -1;
            }

            @Override
            public int read(byte[] into, int from, int length) {
                most[0] = Math.max(most[0], into.length);
                int one = read();
                if (one < 0) {
                    return -1;
                }
                into[from] = (byte) one;
                return 1;
            }
        };
        assertNull(new Connection(in, new ByteArrayOutputStream(), () -> {}).receive());
        assertTrue(most[0] <= 64 * 1024, () -> "room for " + most[0]);
    }

    @Test
    void large_frame_comes_in_pieces_and_half_a_frame_is_none() throws Exception {
        byte[] frame = Connection.frame("{\"type\":\"x\",\"text\":\"" + new String(new char[3_000_000]).replace('\0', 'x') + "\"}");
        assertEquals(3_000_000, ((String) reading(frame).receive().get("text")).length());
        assertNull(reading(Arrays.copyOf(frame, frame.length - 1)).receive());
        assertNull(reading(new byte[] {0, 0}).receive());
    }

    @Test
    void half_of_a_pair_does_not_break_the_frame() throws Exception {
        assertEquals("a?b", reading(Connection.frame(Json.write(java.util.Collections.singletonMap("type", "a\ud800b")))).receive()
                .get("type"));
        assertArrayEquals(new byte[] {0, 0, 0, 2, '{', '}'}, Connection.frame("{}"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"tcp:", "tcp:7070", "tcp:127.0.0.1:", "tcp:127.0.0.1:x", "tcp:127.0.0.1:70000"})
    void address_that_is_none_says_how_to_write_it(String address) {
        String said = assertThrows(IllegalArgumentException.class, () -> Connection.to(address)).getMessage();
        assertTrue(said.contains("GRIDLOOM_SOCKET"), said);
    }

    @Test
    void unix_socket_is_used_where_java_has_them_and_told_where_not() throws Exception {
        Path path = Files.createTempDirectory("gl").resolve("s");
        IOException error = assertThrows(IOException.class, () -> Connection.to(path.toString()));
        boolean isOld = System.getProperty("java.specification.version").startsWith("1.");
        assertEquals(isOld, error.getMessage().contains("--child-tcp"), error.getMessage());
        Assumptions.assumeFalse(isOld);
        java.net.SocketAddress address = (java.net.SocketAddress) Class.forName("java.net.UnixDomainSocketAddress")
                .getMethod("of", Path.class).invoke(null, path);
        Class<?> family = Class.forName("java.net.StandardProtocolFamily");
        Object unix = family.getField("UNIX").get(null);
        java.nio.channels.ServerSocketChannel listener = (java.nio.channels.ServerSocketChannel)
                java.nio.channels.ServerSocketChannel.class.getMethod("open", java.net.ProtocolFamily.class).invoke(null, unix);
        listener.bind(address);
        try (Connection ours = Connection.to(path.toString());
                java.nio.channels.SocketChannel theirs = listener.accept()) {
            theirs.write(java.nio.ByteBuffer.wrap(Connection.frame("{\"type\":\"drain\"}")));
            assertEquals("drain", ours.receive().get("type"));
            ours.send("{\"type\":\"bye\"}");
            java.nio.ByteBuffer read = java.nio.ByteBuffer.allocate(18);
            while (read.hasRemaining() && theirs.read(read) >= 0) {
                // Until it is there.
            }
            assertArrayEquals(Connection.frame("{\"type\":\"bye\"}"), read.array());
        } finally {
            listener.close();
        }
    }
}
