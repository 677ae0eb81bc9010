"""What so many lanes cost a cluster of three nats-servers: idle, waited on, a member restarted, the leader killed.

    python3 bench/lanes-r3.py LANES

Needs nats-py, and the server that `gridloom dev` fetches. docs/decisions/0016 has what came out.
"""
import asyncio, nats, json, subprocess, tempfile, os, time, sys, signal, urllib.request, shutil
SRV=os.path.expanduser('~/.cache/gridloom/nats-server-2.15.1/nats-server')
P=[25310+i for i in range(3)]; C=[25410+i for i in range(3)]; M=[25510+i for i in range(3)]
base=tempfile.mkdtemp(dir='/tmp')
def start(i):
    a=[SRV,'-a','127.0.0.1','-p',str(P[i]),'-m',str(M[i]),'-js','-sd',f'{base}/{i}','-n',f'n{i}','--cluster_name','c','--cluster',f'nats://127.0.0.1:{C[i]}','--routes',','.join(f'nats://127.0.0.1:{c}' for c in C)]
    return subprocess.Popen(a,stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)
def cpu(p): 
    f=open(f'/proc/{p.pid}/stat').read().rsplit(')',1)[1].split(); return (int(f[11])+int(f[12]))/os.sysconf('SC_CLK_TCK')
def rss(p): return int([l for l in open(f'/proc/{p.pid}/status') if l.startswith('VmRSS')][0].split()[1])/1024
async def main(n):
    pr=[start(i) for i in range(3)]
    try:
        nc=None
        while not nc:
            try: nc=await nats.connect(servers=[f'nats://127.0.0.1:{p}' for p in P],max_reconnect_attempts=-1,reconnect_time_wait=.1)
            except Exception: await asyncio.sleep(.3)
        async def api(s,q={},t=3,tries=100):
            for _ in range(tries):
                try:
                    m=await nc.request('$JS.API.'+s,json.dumps(q).encode() if q else b'',timeout=t); d=json.loads(m.data)
                    if d.get('error',{}).get('code')!=503: return d
                except Exception: pass
                await asyncio.sleep(.05)
        await api('STREAM.CREATE.s',dict(name='s',subjects=['s.*.*'],retention='workqueue',num_replicas=3,storage='file'))
        t=time.time()
        async def make(i):
            c=f'c{i}'; f=f's.{i}.*'
            return await api(f'CONSUMER.CREATE.s.{c}.{f}',dict(stream_name='s',action='create',config=dict(name=c,durable_name=c,filter_subject=f,ack_policy='explicit',ack_wait=30_000_000_000,max_waiting=16384)))
        for k in range(0,n,8): await asyncio.gather(*[make(i) for i in range(k,min(k+8,n))])
        made=time.time()-t
        await asyncio.sleep(15)
        async def idle(sec):
            a=[cpu(p) for p in pr]; await asyncio.sleep(sec); return [round((cpu(p)-x)/sec*100,2) for p,x in zip(pr,a)]
        print(f'lanes {n}: made in {made:.1f} s (8 at once); idle % of a core {await idle(30)}, RSS MB {[round(rss(p)) for p in pr]}',flush=True)
        if n:
            # 40 workers wait on each lane, 5 s
            inbox='in.x'; 
            async def cb(m): pass
            await nc.subscribe(inbox+'.>',cb=cb)
            stop=False
            async def pulls():
                k=0; total=8*n # pulls/s as of 40 workers of n lanes
                per=max(1,total//100)
                nxt=time.time()
                while not stop:
                    for _ in range(per):
                        k+=1; await nc.publish(f'$JS.API.CONSUMER.MSG.NEXT.s.c{k%n}',b'{"batch":1,"expires":5000000000}',reply=f'{inbox}.{k}')
                    nxt+=.01; await asyncio.sleep(max(0,nxt-time.time()))
            task=asyncio.create_task(pulls()); await asyncio.sleep(6)
            print(f'  40 workers wait on each ({8*n} pulls/s): % of a core {await idle(15)}, RSS {[round(rss(p)) for p in pr]}',flush=True)
            stop=True; await task
            t=time.time(); d=await api('CONSUMER.LIST.s',{'offset':0}); print(f'  list of all: {(time.time()-t)*1e3:.0f} ms, {len(d["consumers"])} named, missing {d.get("missing")}',flush=True)
        async def leader(): return (await api('STREAM.INFO.s'))['cluster']['leader']
        # restart a member that is not the leader of the stream
        l=await leader(); i=[k for k in range(3) if f'n{k}'!=l][0]
        async def caught_up():
            t=time.time()
            while True:
                try:
                    h=json.loads(urllib.request.urlopen(f'http://127.0.0.1:{M[i]}/healthz',timeout=2).read())
                    if h.get('status')=='ok': return time.time()-t
                except Exception: pass
                await asyncio.sleep(.05)
        pr[i].send_signal(signal.SIGTERM); pr[i].wait(); await asyncio.sleep(2)
        t=time.time(); pr[i]=start(i); await caught_up(); print(f'  member restarted: healthy after {time.time()-t:.1f} s',flush=True)
        await asyncio.sleep(8)
        # the stream's leader dies
        l=int((await leader())[1]); pr[l].kill(); pr[l].wait(); t=time.time()
        async def has(i):
            while True:
                try:
                    m=await nc.request(f'$JS.API.CONSUMER.INFO.s.c{i}',b'',timeout=1); d=json.loads(m.data)
                    if d.get('cluster',{}).get('leader') not in (None,'',f'n{l}'): return time.time()-t
                except Exception: await asyncio.sleep(.02)
        await api('STREAM.INFO.s',t=1); s=time.time()-t
        ts=sorted(await asyncio.gather(*[has(k) for k in range(n)])) if n else [0]
        print(f'  leader killed: stream answers after {s:.1f} s, lanes after {ts[0]:.1f} to {ts[-1]:.1f} s',flush=True)
        t=time.time(); pr[l]=start(l); i=l; await caught_up(); print(f'  it is back: healthy after {time.time()-t:.1f} s',flush=True)
    finally:
        for p in pr: p.kill()
        shutil.rmtree(base,ignore_errors=True)
asyncio.run(main(int(sys.argv[1])))
