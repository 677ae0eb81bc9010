package gridloom;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;

/**
 * One end of the child protocol's socket: 4 bytes of length, big endian, then one JSON object (docs/CHILD-PROTOCOL.md §2).
 * One thread receives, one sends.
 */
final class Connection implements Closeable {
    /** Most bytes of JSON in one frame, both ways. */
    static final int FRAME_MAX = 8 * 1024 * 1024;
    /** Room that is taken before anything has arrived. */
    private static final int CHUNK = 64 * 1024;

    private final InputStream in;
    private final OutputStream out;
    private final Closeable socket;
    private final byte[] head = new byte[4];

    Connection(InputStream in, OutputStream out, Closeable socket) {
        this.in = new java.io.BufferedInputStream(in, CHUNK);
        this.out = out;
        this.socket = socket;
    }

    static Connection of(Socket socket) throws IOException {
        socket.setTcpNoDelay(true);
        return new Connection(socket.getInputStream(), socket.getOutputStream(), socket);
    }

    /** Connects to where {@code GRIDLOOM_SOCKET} says: a path, or {@code tcp:HOST:PORT}. */
    static Connection to(String address) throws IOException {
        if (!address.startsWith("tcp:")) {
            return unix(address);
        }
        int colon = address.lastIndexOf(':');
        String host = colon > 4 ? address.substring(4, colon) : "";
        String digits = address.substring(colon + 1);
        if (host.isEmpty() || !digits.matches("[0-9]{1,5}") || Integer.parseInt(digits) > 65_535) {
            throw new IllegalArgumentException(
                    "GRIDLOOM_SOCKET=" + address + ": write it as a path or as tcp:127.0.0.1:PORT");
        }
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1);
        }
        Socket socket = new Socket();
        try {
            socket.connect(new InetSocketAddress(host, Integer.parseInt(digits)));
            return of(socket);
        } catch (IOException | RuntimeException error) {
            socket.close();
            throw error;
        }
    }

    /** Java has Unix sockets from 16 on, and this is compiled for older ones. */
    private static Connection unix(String path) throws IOException {
        SocketAddress address;
        try {
            Class<?> known = Class.forName("java.net.UnixDomainSocketAddress");
            address = (SocketAddress) known.getMethod("of", String.class).invoke(null, path);
        } catch (ReflectiveOperationException error) {
            throw new IOException("this Java " + System.getProperty("java.version")
                    + " has no Unix sockets: start the worker with --child-tcp, or take Java 16 or newer", error);
        }
        SocketChannel channel = SocketChannel.open(address);
        return new Connection(new ChannelInput(channel), new ChannelOutput(channel), channel);
    }

    /** The frame of a message. */
    static byte[] frame(String message) {
        // Half of a surrogate pair becomes a question mark: a frame that is no UTF-8 would end everything.
        byte[] body = message.getBytes(StandardCharsets.UTF_8);
        if (body.length > FRAME_MAX) {
            throw new IllegalArgumentException("a message of " + body.length + " bytes, " + FRAME_MAX + " are the most");
        }
        byte[] frame = new byte[4 + body.length];
        ByteBuffer.wrap(frame).putInt(body.length).put(body);
        return frame;
    }

    /** Sends a message. Where nobody hears it any more nothing happens: whoever receives notices the end. */
    void send(String message) {
        byte[] frame = frame(message);
        try {
            out.write(frame);
            out.flush();
        } catch (IOException gone) {
            // Whoever receives is told.
        }
    }

    /** The next message; {@code null} when the connection has ended. */
    Map<String, Object> receive() throws ProtocolException, IOException {
        if (!fill(head, 0, 4)) {
            return null;
        }
        long length = ByteBuffer.wrap(head).getInt() & 0xffff_ffffL;
        if (length == 0 || length > FRAME_MAX) {
            throw new ProtocolException("a frame of " + length + " bytes, 1 to " + FRAME_MAX + " are allowed");
        }
        byte[] body = body((int) length);
        return body == null ? null : message(body);
    }

    /** Room is taken for what has arrived, not for what a length says. */
    private byte[] body(int length) throws IOException {
        byte[] body = new byte[Math.min(length, CHUNK)];
        int filled = 0;
        while (true) {
            if (!fill(body, filled, body.length - filled)) {
                return null;
            }
            filled = body.length;
            if (filled == length) {
                return body;
            }
            body = Arrays.copyOf(body, Math.min(length, 2 * filled));
        }
    }

    private boolean fill(byte[] into, int from, int wanted) throws IOException {
        int filled = 0;
        while (filled < wanted) {
            int n;
            try {
                n = in.read(into, from + filled, wanted - filled);
            } catch (java.net.SocketTimeoutException slow) {
                throw slow;
            } catch (IOException gone) {
                return false;
            }
            if (n < 0) {
                return false;
            }
            filled += n;
        }
        return true;
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> message(byte[] body) throws ProtocolException {
        Object value;
        try {
            value = Json.read(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString());
        } catch (CharacterCodingException error) {
            throw new ProtocolException("a frame that is no UTF-8");
        } catch (IllegalArgumentException error) {
            throw new ProtocolException("a frame that is no JSON: " + error.getMessage());
        }
        if (!(value instanceof Map) || !(((Map<?, ?>) value).get("type") instanceof String)) {
            throw new ProtocolException("a frame that is no JSON object with a type");
        }
        return (Map<String, Object>) value;
    }

    /** Ends the connection; the other side and whoever receives here notice. */
    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException gone) {
            // It is closed.
        }
    }

    /** The streams of {@code Channels} would let reading and writing wait for each other. */
    private static final class ChannelInput extends InputStream {
        private final SocketChannel channel;

        ChannelInput(SocketChannel channel) {
            this.channel = channel;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] into, int from, int length) throws IOException {
            return channel.read(ByteBuffer.wrap(into, from, length));
        }
    }

    private static final class ChannelOutput extends OutputStream {
        private final SocketChannel channel;

        ChannelOutput(SocketChannel channel) {
            this.channel = channel;
        }

        @Override
        public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] data, int from, int length) throws IOException {
            ByteBuffer left = ByteBuffer.wrap(data, from, length);
            while (left.hasRemaining()) {
                channel.write(left);
            }
        }
    }
}
