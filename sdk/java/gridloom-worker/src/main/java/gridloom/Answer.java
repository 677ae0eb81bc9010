package gridloom;

import java.io.InterruptedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.UndeclaredThrowableException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** How an attempt is answered, by what its handler did. */
final class Answer {
    /** Most bytes of an error that the ledger keeps. */
    static final int ERROR_MAX = 1024;

    /** Longest chain of causes that is told. */
    private static final int CAUSES_MAX = 32;

    enum Kind { DONE, FAIL, STOPPED, PAGES }

    final Kind kind;
    /** What stands in the list of the message; of {@code PAGES} the message itself. */
    final String json;
    /** Why it failed; {@code null}: it did not. */
    final Throwable error;

    private Answer(Kind kind, String json, Throwable error) {
        this.kind = kind;
        this.json = json;
        this.error = error;
    }

    /** Of an attempt whose handler threw {@code thrown}, or returned where that is {@code null}. */
    static Answer of(Attempt attempt, Throwable thrown) {
        Throwable error = thrown;
        if (error == null && attempt instanceof Probe) {
            return new Answer(Kind.PAGES, ((Probe) attempt).message(), null);
        }
        if (error == null) {
            Shard shard = (Shard) attempt;
            String fault = shard.fault();
            if (fault == null) {
                return new Answer(Kind.DONE, shard.done(), null);
            }
            error = new Permanent(fault);
        }
        if (attempt.isStopped() && isStop(error)) {
            return stopped(attempt);
        }
        Failure failure = failureOf(error);
        StringBuilder out = new StringBuilder("{\"id\":").append(attempt.id);
        out.append(",\"kind\":\"").append(failure == null ? "retry" : failure.kind()).append('"');
        if (failure != null && failure.afterMs() >= 0) {
            out.append(",\"after_ms\":").append(failure.afterMs());
        }
        Json.write(out.append(",\"error\":"), textOf(error));
        return new Answer(Kind.FAIL, out.append('}').toString(), error);
    }

    static Answer stopped(Attempt attempt) {
        return new Answer(Kind.STOPPED, Long.toString(attempt.id), null);
    }

    /** What says what follows: the error, or what a future, a reflective call or a proxy has put something around; else {@code null}. */
    static Failure failureOf(Throwable error) {
        for (Throwable cause : chain(error)) {
            if (cause instanceof Failure) {
                return (Failure) cause;
            }
            boolean isWrapper = cause instanceof ExecutionException || cause instanceof CompletionException
                    || cause instanceof InvocationTargetException || cause instanceof UndeclaredThrowableException;
            if (!isWrapper) {
                return null;
            }
        }
        return null;
    }

    /** Whether it is what {@code check()} and an interrupt make of a handler, also where others have wrapped that. */
    private static boolean isStop(Throwable error) {
        for (Throwable cause : chain(error)) {
            if (cause instanceof Stopped || cause instanceof InterruptedException || cause instanceof ClosedByInterruptException
                    || (cause instanceof InterruptedIOException && !(cause instanceof java.net.SocketTimeoutException))) {
                return true;
            }
        }
        return false;
    }

    private static List<Throwable> chain(Throwable error) {
        List<Throwable> chain = new ArrayList<>();
        Set<Throwable> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        try {
            for (Throwable cause = error; cause != null && seen.add(cause) && chain.size() < CAUSES_MAX; cause = cause.getCause()) {
                chain.add(cause);
            }
        } catch (RuntimeException | StackOverflowError broken) {
            // One that cannot say its cause: what came before it is told.
        }
        return chain;
    }

    /** Whether its chain of causes ends: whoever prints an exception follows all of it. */
    static boolean isWhole(Throwable error) {
        return chain(error).size() < CAUSES_MAX;
    }

    /** The exception with the chain of its causes, of at most {@link #ERROR_MAX} bytes. */
    static String textOf(Throwable error) {
        StringBuilder text = new StringBuilder();
        String before = "";
        for (Throwable cause : chain(error)) {
            String own = one(cause);
            // A constructor that takes a cause alone makes its text that of the cause.
            if (!own.isEmpty() && !before.endsWith(own)) {
                text.append(text.length() == 0 ? "" : ": ").append(own);
                before = own;
            }
        }
        return cut(text.toString());
    }

    private static String one(Throwable error) {
        String said;
        try {
            said = error.getMessage();
        } catch (RuntimeException | StackOverflowError broken) {
            said = "(its text cannot be made)";
        }
        boolean ours = error instanceof Failure || error instanceof Stopped;
        if (said == null || said.isEmpty()) {
            return error.getClass().getName();
        }
        return ours ? said : error.getClass().getName() + ": " + said;
    }

    /** The text within {@link #ERROR_MAX} bytes of UTF-8, which it may be no longer. */
    private static String cut(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        if (bytes.length <= ERROR_MAX) {
            return text;
        }
        int end = ERROR_MAX;
        while ((bytes[end] & 0xc0) == 0x80) {
            end--;
        }
        return new String(bytes, 0, end, StandardCharsets.UTF_8);
    }
}
