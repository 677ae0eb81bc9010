package gridloom.elasticjob;

import gridloom.Shard;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.util.Collections;

/** What a task's id says of the process that runs it. */
final class Instance {
    private static final String BETWEEN = "@-@";
    private static final String ID = address() + BETWEEN + ManagementFactory.getRuntimeMXBean().getName().split("@")[0];

    private Instance() {}

    /** Job, item, {@code READY}, address and process, as there, and the run behind them: that is what {@code gridloom show} takes. */
    static String taskId(String job, Shard shard) {
        return String.join(BETWEEN, job, Integer.toString(shard.slice()), "READY", ID, shard.run());
    }

    private static String address() {
        try {
            for (NetworkInterface one : Collections.list(NetworkInterface.getNetworkInterfaces())) {
                if (!one.isUp() || one.isLoopback() || one.isVirtual()) {
                    continue;
                }
                for (InetAddress address : Collections.list(one.getInetAddresses())) {
                    if (address.getAddress().length == 4 && !address.isLinkLocalAddress()) {
                        return address.getHostAddress();
                    }
                }
            }
        } catch (SocketException none) {
            // Then this machine has no other name for itself.
        }
        return "127.0.0.1";
    }
}
