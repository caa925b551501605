"""The text of CUDA kernels that sort updates by their place in a table, and add up those of each.

A sort is by digits of 8 bits, from the lowest on. In each pass a block counts the digits of its
share of the keys, the counts become the places where its keys begin, and the keys go there. Threads
of a warp that have the same digit are counted by comparing within the warp, so that nothing is
atomic and the order of equal keys is kept.

`state[0]` says whether the places are out of order: if they are not, the sort's kernels do nothing.
Keys and orders have 32 bits. A place that is not in the table becomes the key after the last one.
"""

THREADS = 256
ROUNDS = 16
"""Keys of a thread in each pass of a sort."""
TILE = THREADS * ROUNDS
"""Keys of a block."""
DIGIT = 8
"""Bits of a digit."""

_TOTAL = """\
    cuda.syncthreads()
    for step in (128, 64, 32, 16, 8, 4, 2, 1):
        if t < step:
            s[t] += s[t + step]
        cuda.syncthreads()
    if t == 0:
"""
"""Adds up what the threads of a block have in s; the first of them then has it in s[0]."""

ASCENDING = (
    """\
def ascending(places, flags, spans, n, count):
    t = cuda.threadIdx.x
    s = cuda.shared.array(256, i32)
    first = cuda.blockIdx.x * 4096
    last = min(first + 4096, n)
    wrong = i32(0)
    for i in range(first + t, last, 256):
        place = places[i]
        before = places[max(i - 1, 0)]
        out_of_order = (place < before) | (place < 0) | (place >= count)
        wrong = i32(1) if out_of_order else wrong
    s[t] = wrong
"""
    + _TOTAL
    + """\
        flags[cuda.blockIdx.x] = s[0]
    i = cuda.blockIdx.x * 256 + t
    while i < 2 * count:
        spans[i] = i32(0)
        i += cuda.gridDim.x * 256
"""
)
"""For each tile of places, whether some are out of order or not in the table; and empty spans."""

DECIDE = (
    """\
def decide(flags, state, n):
    t = cuda.threadIdx.x
    s = cuda.shared.array(256, i32)
    total = i32(0)
    for i in range(t, n, 256):
        total += flags[i]
    s[t] = total
"""
    + _TOTAL
    + """\
        state[0] = s[0]
"""
)
"""Whether any block has found a place that is out of order."""

_KEY = {
    "i64": "i32(key if (key >= 0) & (key < count) else count)",
    "i32": "i32(key)",
}
"""A key, from a place in 64 bits, and from a key of an earlier pass."""

_COUNT = """\
        for j in range(16):
            i = first + j * 32
            key = {keys}[min(i, n - 1)]
            digit = i32(({key} >> shift) & 255) if i < n else i32(256)
            peers = cuda.match_any_sync(-1, digit)
            if (peers & below == 0) & (digit < 256):
                s[warp * 256 + digit] += i32(cuda.popc(peers & 4294967295))
            cuda.syncwarp()
"""
"""Each warp counts the digits of its keys."""

_HEAD = """\
    t = cuda.threadIdx.x
    s = cuda.shared.array(2048, i32)
    warp = t >> 5
    below = (1 << (t & 31)) - 1
    first = cuda.blockIdx.x * 4096 + warp * 512 + (t & 31)
    if state[0] != 0:
        for w in range(8):
            s[w * 256 + t] = i32(0)
        cuda.syncthreads()
"""

TALLY = (
    "def tally(state, {keys}, counts, n, count, shift):\n"
    + _HEAD
    + _COUNT
    + """\
        cuda.syncthreads()
        total = i32(0)
        for w in range(8):
            total += s[w * 256 + t]
        counts[t * cuda.gridDim.x + cuda.blockIdx.x] = total
"""
)
"""How many keys of each block have each digit."""

RANK = """\
def rank(state, counts, totals, blocks):
    t = cuda.threadIdx.x
    s = cuda.shared.array(256, i32)
    digit = cuda.blockIdx.x
    before = i32(0)
    if state[0] != 0:
        for low in range(0, blocks, 256):
            place = digit * blocks + low + t
            own = counts[place] if low + t < blocks else i32(0)
            s[t] = own
            cuda.syncthreads()
            for step in (1, 2, 4, 8, 16, 32, 64, 128):
                other = s[t - step] if t >= step else i32(0)
                cuda.syncthreads()
                s[t] += other
                cuda.syncthreads()
            if low + t < blocks:
                counts[place] = before + s[t] - own
            before += s[255]
            cuda.syncthreads()
        if t == 0:
            totals[digit] = before
"""
"""For each digit, the keys in earlier blocks that have it, and in all; a block for each digit."""

PLACE = (
    "def place(state, {keys}, order, counts, totals, sorted_keys, sorted_order, n, count, shift):\n"
    + _HEAD.replace("    if state", "    b = cuda.shared.array(256, i32)\n    if state")
    + _COUNT
    + """\
        b[t] = totals[t]
        cuda.syncthreads()
        for step in (1, 2, 4, 8, 16, 32, 64, 128):
            other = b[t - step] if t >= step else i32(0)
            cuda.syncthreads()
            b[t] += other
            cuda.syncthreads()
        start = b[t] - totals[t] + counts[t * cuda.gridDim.x + cuda.blockIdx.x]
        for w in range(8):
            own = s[w * 256 + t]
            s[w * 256 + t] = i32(start)
            start += own
        cuda.syncthreads()
        for j in range(16):
            i = first + j * 32
            key = {keys}[min(i, n - 1)]
            whole = {key}
            digit = i32((whole >> shift) & 255) if i < n else i32(256)
            peers = cuda.match_any_sync(-1, digit)
            if i < n:
                to = s[warp * 256 + digit] + cuda.popc(peers & below)
                sorted_keys[to] = whole
                sorted_order[to] = {order}
            cuda.syncwarp()
            if (peers & below == 0) & (digit < 256):
                s[warp * 256 + digit] += i32(cuda.popc(peers & 4294967295))
            cuda.syncwarp()
"""
)
"""Puts keys, and the numbers of their updates, where they belong by this digit."""

SPANS = """\
def spans(state, places, keys, spans, n, count):
    unordered = state[0] != 0
    first = cuda.blockIdx.x * 4096
    for i in range(first + cuda.threadIdx.x, min(first + 4096, n), 256):
        if unordered:
            here = i64(keys[i])
            before = i64(keys[max(i - 1, 0)])
            after = i64(keys[min(i + 1, n - 1)])
        else:
            here = places[i]
            before = places[max(i - 1, 0)]
            after = places[min(i + 1, n - 1)]
        if here < count:
            if (i == 0) | (before < here):
                spans[here] = i32(i)
            if (i == n - 1) | (here < after):
                spans[count + here] = i32(i + 1)
"""
"""For each place the first of its updates, in order, and the end of them."""

SEGMENTS = """\
def segments(state, x, u, order, spans, out, count):
    i = cuda.blockIdx.x * 256 + cuda.threadIdx.x
    unordered = state[0] != 0
    while i < count * {rest}:
        segment = i // {rest}
        column = i - segment * {rest}
        total = x[i]
        for k in range(spans[segment], spans[count + segment]):
            row = i64(order[k] if unordered else k)
            total += u[row * {rest} + column]
        out[i] = total
        i += cuda.gridDim.x * 256
"""
"""Adds to each row of x its rows of u, in their order, with a thread for each value."""

WIDE_SEGMENTS = """\
def segments(state, x, u, order, spans, out, count):
    t = cuda.threadIdx.x
    s = cuda.shared.array(256, {kind})
    unordered = state[0] != 0
    lane = t & {last_lane}
    for i in range(cuda.blockIdx.x, count * {parts}, cuda.gridDim.x):
        segment = i // {parts}
        column = (i - segment * {parts}) * {lanes} + lane
        inside = min(column, {rest} - 1)
        total = {kind}(0)
        for k in range(spans[segment] + (t >> {bits}), spans[count + segment], {at_once}):
            row = i64(order[k] if unordered else k)
            total += u[row * {rest} + inside]
        s[t] = total
        cuda.syncthreads()
        for step in ({steps}):
            if t < step:
                s[t] += s[t + step]
            cuda.syncthreads()
        if (t < {lanes}) & (column < {rest}):
            out[segment * {rest} + column] = x[segment * {rest} + column] + s[t]
"""
"""The same with a block for a place: threads side by side have values side by side, and several
updates at a time. No barrier is needed before the next place: after the last barrier a thread reads
only what it writes itself."""


def tally(keys):
    """How `TALLY` is for places ("i64") or for keys of an earlier pass ("i32")."""
    return TALLY.format(keys="keys", key=_KEY[keys])


def place(keys):
    """The same of `PLACE`; in the first pass updates are numbered as they come."""
    order = "i32(i)" if keys == "i64" else "order[i]"
    return PLACE.format(keys="keys", key=_KEY[keys], order=order)


def segments(kind, rest, wide):
    """The kernel that adds up the updates of each place, of `rest` values each."""
    if not wide:
        return SEGMENTS.format(rest=rest)
    bits = min(rest - 1, 31).bit_length()
    lanes = 1 << bits
    steps = [THREADS >> k for k in range(1, 9) if THREADS >> k >= lanes]
    return WIDE_SEGMENTS.format(
        kind=kind, rest=rest, bits=bits, lanes=lanes, last_lane=lanes - 1, parts=-(-rest // lanes),
        at_once=THREADS // lanes, steps="".join([f"{k}, " for k in steps]).rstrip(),
    )  # fmt: skip
