package gridloom;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executor;

/**
 * Runs shards by handlers that are registered here.
 *
 * <pre>{@code
 * Worker.create()
 *     .handler("resize", shard -> {
 *         for (String name : names(shard.params().text("bucket"))) {
 *             if (shard.owns(name)) {
 *                 shard.check();
 *                 resize(name);
 *                 shard.rows();
 *             }
 *         }
 *     })
 *     .run();
 * }</pre>
 *
 * <p>Started by {@code gridloom worker -- java ...}, that command says broker, queue, processes and slots. Started by itself,
 * {@link #run} starts {@code gridloom worker --attach}: for that are {@link #queue}, {@link #nats} (otherwise its own settings, as
 * docs/CONFIG.md has them), {@link #options} for other flags of it, and {@link #command}.
 */
public final class Worker {
    private static final int SLOTS_MAX = 10_000;

    private final Handlers handlers = new Handlers();
    private final Map<String, String> variables = new TreeMap<>();
    private final List<String> options = new ArrayList<>();
    private String command = "gridloom";
    private int slots = 1;
    private boolean signals = true;
    private Executor executor;
    /** Both under this object's lock. */
    private Child child;
    private boolean askedToStop;

    private Worker() {}

    /** A worker without handlers yet. */
    public static Worker create() {
        return new Worker();
    }

    /** Registers what executes the shards of a job whose {@code handler} is {@code name}. */
    public Worker handler(String name, Handler handler) {
        handlers.add(name, handler);
        return this;
    }

    /** Registers what says which pages a slice has, for jobs with {@code pages = { probe = true }}. */
    public Worker pages(String name, Pages pages) {
        handlers.addPages(name, pages);
        return this;
    }

    /** Whether there is something to run. */
    public boolean hasHandlers() {
        return !handlers.runs.isEmpty();
    }

    /** How many tiles run at once, each in a thread: 1 unless it is said here, or by {@code gridloom worker --slots}. */
    public Worker slots(int slots) {
        if (slots < 1 || slots > SLOTS_MAX) {
            throw new IllegalArgumentException("slots(" + slots + "): 1 to 10,000 tiles at once");
        }
        this.slots = slots;
        return this;
    }

    /**
     * Who runs tiles: each is one task, and no more than slots are at work at once. Left out: threads of this worker's own. With
     * {@code Executors.newVirtualThreadPerTaskExecutor()} (Java 21) many slots cost little.
     */
    public Worker executor(Executor executor) {
        this.executor = executor;
        return this;
    }

    /** Whether SIGTERM and SIGINT end {@link #run} in peace, as they do unless the program has handlers of its own for them. */
    public Worker signals(boolean signals) {
        this.signals = signals;
        return this;
    }

    /** The queue of the worker that is started beside this program. */
    public Worker queue(String queue) {
        variables.put("GRIDLOOM_WORKER_QUEUES", queue);
        return this;
    }

    /** The broker of the worker that is started beside this program. */
    public Worker nats(String nats) {
        variables.put("GRIDLOOM_NATS", nats);
        return this;
    }

    /** Other flags of the worker that is started beside this program. */
    public Worker options(String... options) {
        this.options.addAll(Arrays.asList(options));
        return this;
    }

    /** The path of the command {@code gridloom}; left out, it is looked for in {@code PATH}. */
    public Worker command(String command) {
        this.command = command;
        return this;
    }

    /** Takes nothing more: {@link #run} returns when what it has is answered. Any thread may call it. */
    public void stop() {
        Child serving;
        synchronized (this) {
            askedToStop = true;
            serving = child;
        }
        if (serving != null) {
            serving.leave();
        }
    }

    private synchronized boolean isAskedToStop() {
        return askedToStop;
    }

    /** Whether {@code gridloom worker -- COMMAND} has started this process: then {@link #run} speaks with that one. */
    public static boolean isChild() {
        return System.getenv("GRIDLOOM_SOCKET") != null;
    }

    /**
     * Runs shards until the worker is told to stop. An interrupt of this thread asks for that, too.
     *
     * @throws WorkerGone when the worker that was started beside this program has ended, and nobody had told it to
     */
    public void run() {
        handlers.check();
        try (Signals taken = signals ? Signals.to(this::stop) : null) {
            String address = System.getenv("GRIDLOOM_SOCKET");
            if (address != null) {
                runStarted(address);
            } else {
                runAttached();
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error.getMessage(), error);
        }
    }

    /** {@code gridloom worker -- java ...} has started this process. */
    private void runStarted(String address) throws IOException {
        String said = System.getenv("GRIDLOOM_SLOTS");
        int most = said == null || said.isEmpty() ? slots : Integer.parseInt(said);
        String token = System.getenv("GRIDLOOM_TOKEN");
        boolean drained = false;
        try (Connection connection = Connection.to(address)) {
            drained = serve(connection, token == null ? "" : token, most);
        } catch (ProtocolException error) {
            System.err.println("gridloom: the worker broke the protocol: " + error.getMessage());
        }
        if (!drained) {
            // At once, whatever handlers and hooks do: others may run their shards by now.
            Runtime.getRuntime().halt(Child.GONE);
        }
    }

    private void runAttached() throws IOException {
        try (Engine engine = Engine.start(command, options, variables)) {
            boolean drained;
            try (Connection connection = engine.accept(this::isAskedToStop)) {
                if (connection == null) {
                    return;
                }
                drained = serve(connection, null, slots);
            } catch (ProtocolException error) {
                throw new WorkerGone("the worker broke the protocol: " + error.getMessage());
            }
            engine.ended(drained);
        }
    }

    private boolean serve(Connection connection, String token, int most) throws ProtocolException {
        try (Crew own = executor == null ? new Crew(most) : null) {
            Child serving = new Child(connection, handlers, most, own == null ? executor : own);
            boolean leaves;
            synchronized (this) {
                child = serving;
                leaves = askedToStop;
            }
            if (leaves) {
                serving.leave();
            }
            return serving.serve(token);
        } finally {
            synchronized (this) {
                child = null;
            }
        }
    }
}
