package gridloom;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * Answers on their way to the worker: collected for a moment, so that a tile of many tiny shards is one frame.
 *
 * <p>One thread sends, and no other ever does: an interrupt that comes late to a thread of a handler closes a channel that it
 * writes to.
 */
final class Answers {
    private static final long COLLECT_NS = TimeUnit.MILLISECONDS.toNanos(5);
    /**
     * Most outcomes of a frame. One takes 11 kB of JSON at most (a result of 1 KiB and 15 names of 48 bytes, each of them six
     * signs), so a frame always has room for them.
     */
    private static final int COLLECT = 500;
    /** How often rows so far are told. */
    private static final long PROGRESS_NS = TimeUnit.SECONDS.toNanos(1);

    private final Connection connection;
    private final Set<Tile> tiles;
    private final Thread pulse = new Thread(this::beatOrEnd, "gridloom-pulse");

    /** All below under this. */
    private final Object lock = new Object();
    private List<String> done = new ArrayList<>();
    private List<String> failed = new ArrayList<>();
    private List<String> stopped = new ArrayList<>();
    private final ArrayDeque<String> whole = new ArrayDeque<>();
    private boolean isCollecting;
    private long firstNs;
    private boolean urgent;
    private boolean saidBye;
    private boolean closing;

    Answers(Connection connection, Set<Tile> tiles) {
        this.connection = connection;
        this.tiles = tiles;
        pulse.setDaemon(true);
    }

    /** From here on what is collected is sent, and nothing waits for longer than a moment. */
    void start() {
        pulse.start();
    }

    /** Sends a message of its own, behind what is collected. */
    void send(String message) {
        synchronized (lock) {
            whole.add(message);
            hurry();
        }
    }

    /** Collects an outcome. Where none of its tile follows ({@code more}), everything is sent at once. */
    void add(Answer answer, boolean more) {
        synchronized (lock) {
            switch (answer.kind) {
                case DONE:
                    done.add(answer.json);
                    break;
                case FAIL:
                    failed.add(answer.json);
                    break;
                case STOPPED:
                    stopped.add(answer.json);
                    break;
                default:
                    whole.add(answer.json);
                    break;
            }
            if (!more || done.size() + failed.size() + stopped.size() >= COLLECT) {
                hurry();
            } else if (!isCollecting) {
                isCollecting = true;
                firstNs = System.nanoTime();
                lock.notifyAll();
            }
        }
    }

    /** Asks for nothing more. */
    void bye() {
        synchronized (lock) {
            if (!saidBye) {
                saidBye = true;
                whole.add("{\"type\":\"bye\"}");
                hurry();
            }
        }
    }

    /** Sends what is left, and ends the thread. */
    void close() {
        synchronized (lock) {
            closing = true;
            lock.notifyAll();
        }
        boolean interrupted = false;
        while (pulse.isAlive()) {
            try {
                pulse.join();
            } catch (InterruptedException later) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void hurry() {
        if (!urgent) {
            urgent = true;
            lock.notifyAll();
        }
    }

    private void beatOrEnd() {
        try {
            beat();
        } catch (RuntimeException | Error error) {
            // A fault of this code: nothing would ever be answered. So the connection ends, and others run the shards.
            Logger.getLogger("gridloom").log(Level.SEVERE, "answers cannot be sent", error);
            connection.close();
        }
    }

    private void beat() {
        Map<Long, Long> told = new HashMap<>();
        long nextLook = System.nanoTime() + PROGRESS_NS;
        boolean last = false;
        while (!last) {
            List<String> frames;
            synchronized (lock) {
                rest(nextLook);
                last = closing;
                frames = taken();
            }
            for (String frame : frames) {
                connection.send(frame);
            }
            if (System.nanoTime() - nextLook >= 0) {
                told = progress(told);
                nextLook = System.nanoTime() + PROGRESS_NS;
            }
        }
    }

    /** Waits until there is something to send. */
    private void rest(long nextLook) {
        while (!urgent && !closing) {
            long now = System.nanoTime();
            long left = nextLook - now;
            if (isCollecting) {
                left = Math.min(left, firstNs + COLLECT_NS - now);
            }
            if (left <= 0) {
                return;
            }
            try {
                TimeUnit.NANOSECONDS.timedWait(lock, Math.max(left, 100_000));
            } catch (InterruptedException nobodys) {
                // No one has this thread to interrupt it.
            }
        }
    }

    private List<String> taken() {
        List<String> frames = new ArrayList<>();
        frames(frames, "{\"type\":\"done\",\"shards\":[", done);
        frames(frames, "{\"type\":\"fail\",\"shards\":[", failed);
        frames(frames, "{\"type\":\"stopped\",\"ids\":[", stopped);
        frames.addAll(whole);
        done = new ArrayList<>();
        failed = new ArrayList<>();
        stopped = new ArrayList<>();
        whole.clear();
        urgent = false;
        isCollecting = false;
        return frames;
    }

    private static void frames(List<String> frames, String head, List<String> all) {
        for (int from = 0; from < all.size(); from += COLLECT) {
            List<String> some = all.subList(from, Math.min(all.size(), from + COLLECT));
            frames.add(head + String.join(",", some) + "]}");
        }
    }

    /** Tells the rows so far of shards that take long. */
    private Map<Long, Long> progress(Map<Long, Long> told) {
        Map<Long, Long> now = new HashMap<>();
        StringBuilder news = new StringBuilder();
        for (Tile tile : tiles) {
            Attempt current = tile.current;
            if (!(current instanceof Shard)) {
                continue;
            }
            long rows = ((Shard) current).rowsSoFar();
            now.put(current.id, rows);
            Long before = told.get(current.id);
            if (rows > 0 && (before == null || before != rows)) {
                news.append(news.length() == 0 ? "" : ",").append("{\"id\":").append(current.id);
                news.append(",\"rows\":").append(rows).append('}');
            }
        }
        if (news.length() > 0) {
            connection.send("{\"type\":\"progress\",\"shards\":[" + news + "]}");
        }
        return now;
    }
}
