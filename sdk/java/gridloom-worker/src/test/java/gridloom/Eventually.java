package gridloom;

import java.util.concurrent.Callable;

/** Waits for a condition, never for a time. */
final class Eventually {
    private Eventually() {}

    static void is(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + Wire.SOON_MS * 1_000_000L;
        while (!condition.call()) {
            if (System.nanoTime() - end > 0) {
                throw new AssertionError("not in time: " + what);
            }
            Thread.sleep(5);
        }
    }
}
