package gridloom;

import java.util.Map;

/** What the shards of one message have in common. */
final class Tile {
    final String run;
    final String job;
    final String handler;
    final String nonce;
    final int slice;
    final int slices;
    final int attempt;
    final long fence;
    final Params params;
    final Params settings;
    /** {@code null}: without limit. */
    final Long timeoutMs;
    final long cameNs = System.nanoTime();
    /** The one that is executed. */
    volatile Attempt current;

    Tile(Map<String, Object> said) {
        run = Said.text(said, "run");
        job = Said.text(said, "job");
        handler = Said.text(said, "handler");
        nonce = Said.text(said, "nonce");
        slice = Said.small(said, "slice");
        slices = Said.small(said, "slices");
        attempt = Said.small(said, "attempt");
        fence = Said.whole(said, "fence");
        params = new Params("params", said.get("params"));
        settings = new Params(handler, said.get("settings"));
        timeoutMs = said.get("timeout_ms") == null ? null : Said.whole(said, "timeout_ms");
    }
}
