package gridloom;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Starts {@code gridloom worker --attach} beside a program that is its own main process. */
final class Engine implements AutoCloseable {
    /** How long the worker has to say its first word, once connected. */
    private static final int ATTACH_MS = 10_000;
    /** How often it is looked whether it has ended. */
    private static final int LOOK_MS = 100;
    /** How long it has to end after {@code drain}. */
    private static final long END_S = 30;

    private final ServerSocket listener;
    private final String token;
    private final Process process;

    private Engine(ServerSocket listener, String token, Process process) {
        this.listener = listener;
        this.token = token;
        this.process = process;
    }

    /** Starts it; it connects to a port of this machine, and knows itself by a token that nobody else has. */
    static Engine start(String command, List<String> options, Map<String, String> variables) throws IOException {
        ServerSocket listener = new ServerSocket();
        try {
            listener.bind(new InetSocketAddress(InetAddress.getByAddress(new byte[] {127, 0, 0, 1}), 0), 8);
            listener.setSoTimeout(LOOK_MS);
            String token = token();
            List<String> arguments = new ArrayList<>();
            arguments.add(command);
            arguments.add("worker");
            arguments.add("--attach");
            arguments.addAll(options);
            ProcessBuilder builder = new ProcessBuilder(arguments).inheritIO();
            File nothing = new File("/dev/null");
            if (nothing.exists()) {
                builder.redirectInput(nothing);
            }
            // Not among the arguments, which everybody on the machine sees.
            builder.environment().putAll(variables);
            builder.environment().put("GRIDLOOM_SOCKET", "tcp:127.0.0.1:" + listener.getLocalPort());
            builder.environment().put("GRIDLOOM_TOKEN", token);
            return new Engine(listener, token, started(builder, command));
        } catch (IOException | RuntimeException error) {
            listener.close();
            throw error;
        }
    }

    private static Process started(ProcessBuilder builder, String command) throws IOException {
        try {
            return builder.start();
        } catch (IOException error) {
            throw new IOException("the command " + command + " cannot be started: install it, so that it is in PATH, or say"
                    + " where it is with Worker.command(PATH)", error);
        }
    }

    private static String token() {
        byte[] random = new byte[16];
        new SecureRandom().nextBytes(random);
        StringBuilder token = new StringBuilder();
        for (byte one : random) {
            token.append(Character.forDigit(one >> 4 & 15, 16)).append(Character.forDigit(one & 15, 16));
        }
        return token.toString();
    }

    /** The connection on which it has said who it is; {@code null} where nobody wants it any more. */
    Connection accept(BooleanSupplier givenUp) throws IOException {
        while (!givenUp.getAsBoolean()) {
            if (!process.isAlive()) {
                throw new WorkerGone("gridloom worker ended with exit code " + process.exitValue()
                        + " before it had begun: it says why above");
            }
            Socket socket;
            try {
                socket = listener.accept();
            } catch (SocketTimeoutException nobodyYet) {
                continue;
            }
            socket.setSoTimeout(ATTACH_MS);
            Connection connection = Connection.of(socket);
            if (isIt(connection)) {
                socket.setSoTimeout(0);
                return connection;
            }
            connection.close();
        }
        return null;
    }

    private boolean isIt(Connection connection) {
        Map<String, Object> said;
        try {
            said = connection.receive();
        } catch (ProtocolException | IOException other) {
            return false;
        }
        if (said == null || !"attach".equals(said.get("type")) || !(said.get("token") instanceof String)) {
            return false;
        }
        byte[] theirs = ((String) said.get("token")).getBytes(StandardCharsets.UTF_8);
        return MessageDigest.isEqual(theirs, token.getBytes(StandardCharsets.UTF_8));
    }

    /** Waits for its end, and throws {@link WorkerGone} unless it had said that it would. */
    void ended(boolean drained) {
        String code = ends() ? "exit code " + process.exitValue() : "it has not ended yet";
        if (!drained) {
            throw new WorkerGone("gridloom worker is gone (" + code + "): what ran here was told to stop");
        }
    }

    private boolean ends() {
        boolean interrupted = false;
        try {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(END_S);
            while (true) {
                try {
                    return process.waitFor(end - System.nanoTime(), TimeUnit.NANOSECONDS);
                } catch (InterruptedException later) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
        if (process.isAlive()) {
            process.destroy();
            if (!ends()) {
                process.destroyForcibly();
            }
        }
    }
}
