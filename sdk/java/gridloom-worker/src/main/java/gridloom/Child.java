package gridloom;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * Runs the shards that a worker sends (docs/CHILD-PROTOCOL.md).
 *
 * <p>A thread only receives, so {@code stop} is heard while handlers work, and one only sends. A tile has one thread of the crew,
 * which runs its shards one after the other.
 */
final class Child {
    /** The exit code of a child whose connection ended without {@code drain}. */
    static final int GONE = 70;
    static final String SDK = "java 0.1.0";
    private static final int PROTOCOL = 1;
    private static final Logger LOG = Logger.getLogger("gridloom");

    private final Connection connection;
    private final Handlers handlers;
    private final int slots;
    private final Executor crew;
    /** What was given and is not answered. Whoever takes an attempt out of here answers it. */
    private final Map<Long, Attempt> open = new ConcurrentHashMap<>();
    /** How many answers are still to be handed over: an attempt that was taken out may be on its way. */
    private final AtomicInteger owed = new AtomicInteger();
    private final Set<Tile> tiles = Collections.newSetFromMap(new ConcurrentHashMap<>());
    private final Answers answers;
    /** Both under this object's lock. */
    private boolean draining;
    private boolean over;
    private ProtocolException broken;

    Child(Connection connection, Handlers handlers, int slots, Executor crew) {
        this.connection = connection;
        this.handlers = handlers;
        this.slots = slots;
        this.crew = crew;
        answers = new Answers(connection, tiles);
    }

    /** Asks for nothing more; {@link #serve} ends when all is answered. */
    void leave() {
        answers.bye();
    }

    /**
     * Runs shards until the worker says {@code drain} (true), or is gone (false). Where this thread is interrupted it asks for
     * nothing more, and goes on until the worker says so.
     */
    boolean serve(String token) throws ProtocolException {
        answers.send(hello(token));
        answers.start();
        Thread receiver = new Thread(this::listen, "gridloom-receiver");
        receiver.setDaemon(true);
        receiver.start();
        boolean drained = await();
        if (!drained) {
            connection.close();
            stop(new ArrayList<>(open.keySet()), "gone");
        }
        answers.close();
        connection.close();
        if (broken != null) {
            throw broken;
        }
        return drained;
    }

    private String hello(String token) {
        StringBuilder out = new StringBuilder("{\"type\":\"hello\",\"protocol\":[" + PROTOCOL + "," + PROTOCOL + "]");
        if (token != null) {
            Json.write(out.append(",\"token\":"), token);
        }
        Json.write(out.append(",\"sdk\":"), SDK);
        Json.write(out.append(",\"handlers\":"), handlers.runs.keySet());
        Json.write(out.append(",\"probes\":"), handlers.pages.keySet());
        return out.append(",\"slots\":").append(slots).append('}').toString();
    }

    private boolean await() {
        boolean interrupted = false;
        synchronized (this) {
            while (!over && !(draining && owed.get() == 0)) {
                try {
                    wait();
                } catch (InterruptedException asked) {
                    interrupted = true;
                    answers.bye();
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        synchronized (this) {
            return draining && owed.get() == 0;
        }
    }

    private void listen() {
        try {
            Map<String, Object> message;
            while ((message = connection.receive()) != null) {
                take(message);
            }
        } catch (ProtocolException error) {
            broken = error;
        } catch (IOException | RuntimeException | Error error) {
            LOG.log(Level.SEVERE, "a message of the worker cannot be taken", error);
        }
        synchronized (this) {
            over = true;
            notifyAll();
        }
    }

    private void take(Map<String, Object> message) throws ProtocolException {
        String type = (String) message.get("type");
        try {
            switch (type) {
                case "shards":
                    give(message);
                    break;
                case "probe":
                    ask(message);
                    break;
                case "stop":
                    List<Long> ids = new ArrayList<>();
                    for (Object id : Said.list(message, "ids")) {
                        ids.add(Said.of(Long.class, id, "ids"));
                    }
                    stop(ids, Said.text(message, "why"));
                    break;
                case "drain":
                    synchronized (this) {
                        draining = true;
                        notifyAll();
                    }
                    break;
                default:
                    break;
            }
        } catch (Said.Odd odd) {
            throw new ProtocolException("a message \"" + type + "\" that is none: " + odd.getMessage());
        }
    }

    private void give(Map<String, Object> message) {
        Tile tile = new Tile(message);
        List<Attempt> shards = new ArrayList<>();
        for (Object said : Said.list(message, "shards")) {
            shards.add(new Shard(tile, Said.object(said, "shards")));
        }
        Handler handler = handlers.runs.get(tile.handler);
        begin(tile, shards, attempt -> {
            if (handler == null) {
                throw new Retry("handler \"" + attempt.handler() + "\" is not known here");
            }
            handler.run((Shard) attempt);
        });
    }

    private void ask(Map<String, Object> message) {
        Tile tile = new Tile(message);
        Pages pages = handlers.pages.get(tile.handler);
        List<Attempt> probe = Collections.singletonList(new Probe(tile, message));
        begin(tile, probe, attempt -> {
            if (pages == null) {
                throw new Retry("handler \"" + attempt.handler() + "\" has no pages here");
            }
            pages.find((Probe) attempt);
        });
    }

    /** What is to be done with an attempt. */
    private interface Step {
        void run(Attempt attempt) throws Exception;
    }

    private void begin(Tile tile, List<Attempt> attempts, Step step) {
        if (attempts.isEmpty()) {
            return;
        }
        owed.addAndGet(attempts.size());
        for (Attempt attempt : attempts) {
            open.put(attempt.id, attempt);
        }
        tiles.add(tile);
        crew.execute(() -> {
            try {
                play(tile, attempts, step);
            } catch (RuntimeException | Error error) {
                // A fault of this code: shards would never be answered. So the connection ends, and others run them.
                LOG.log(Level.SEVERE, "a tile cannot be answered", error);
                connection.close();
            }
        });
    }

    private void play(Tile tile, List<Attempt> attempts, Step step) {
        Attempt last = attempts.get(attempts.size() - 1);
        for (Attempt attempt : attempts) {
            if (!attempt.begin()) {
                continue;
            }
            Throwable thrown = null;
            try {
                step.run(attempt);
            } catch (Throwable error) {
                thrown = error;
            } finally {
                attempt.end();
            }
            settle(attempt, answer(attempt, thrown), attempt != last);
        }
        tiles.remove(tile);
    }

    private static Answer answer(Attempt attempt, Throwable thrown) {
        Answer answer = Answer.of(attempt, thrown);
        if (answer.error != null && Answer.failureOf(answer.error) == null) {
            try {
                Throwable told = Answer.isWhole(answer.error) ? answer.error : null;
                LOG.log(Level.WARNING, "shard " + attempt + " failed" + (told == null ? ": " + Answer.textOf(answer.error) : ""), told);
            } catch (RuntimeException | StackOverflowError broken) {
                // Whoever logs may fail, and so may an exception that is looked at: the shard is answered all the same.
                System.err.println("gridloom: shard " + attempt + " failed, and its exception cannot be logged");
            }
        }
        return answer;
    }

    private void stop(List<Long> ids, String why) {
        for (int i = 0; i < ids.size(); i++) {
            Attempt attempt = open.get(ids.get(i));
            // Not there: answered already, both were under way at once.
            if (attempt != null && attempt.stop(why)) {
                settle(attempt, Answer.stopped(attempt), i + 1 < ids.size());
            }
        }
    }

    private void settle(Attempt attempt, Answer answer, boolean more) {
        if (open.remove(attempt.id) == null) {
            return;
        }
        answers.add(answer, more && !open.isEmpty());
        if (owed.decrementAndGet() == 0) {
            synchronized (this) {
                notifyAll();
            }
        }
    }
}
