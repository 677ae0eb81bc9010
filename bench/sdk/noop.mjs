// A handler that does nothing, for `gridloom-bench sdk`.
import { Worker } from "gridloom";

const worker = new Worker();

worker.handler("nothing", async () => {});

await worker.run();
