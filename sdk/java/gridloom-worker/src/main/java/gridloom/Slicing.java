package gridloom;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Which slice a key belongs to: a stable hash that SQL and every other language can repeat (docs/SLICING.md). */
public final class Slicing {
    private static final ThreadLocal<MessageDigest> MD5 = ThreadLocal.withInitial(() -> {
        try {
            // For spread, not for secrecy.
            return MessageDigest.getInstance("MD5");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("this Java has no MD5, by which keys are sliced", error);
        }
    });

    private Slicing() {}

    /** The slice of {@code key} among {@code slices}. */
    public static int sliceOf(String key, int slices) {
        if (slices < 1) {
            throw new IllegalArgumentException(slices + " slices: there is at least one");
        }
        byte[] hash = MD5.get().digest(key.getBytes(StandardCharsets.UTF_8));
        return Integer.remainderUnsigned(ByteBuffer.wrap(hash).getInt(), slices);
    }

    /** The slice of a whole number, which is hashed as its plain decimal digits. */
    public static int sliceOf(long key, int slices) {
        return sliceOf(Long.toString(key), slices);
    }
}
