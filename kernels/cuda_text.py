"""The text of CUDA kernels around that of a row, and of kernels that are always the same.

A block of threads is divided into groups, each of which has a row at a time. Sums go over fixed
trees, so that a result is the same in every run.
"""

from typing import NamedTuple

WARP = 32
SHARED_VALUES = 4096
"""Values of shared memory that the sums of a block take at a time, at most."""

FRAME = """\
def sweep({arguments}):
    t = cuda.threadIdx.x
    lane = t & {last_lane}
    group = t >> {group_bits}
{before}
    first = low + cuda.blockIdx.x * share
    last = min(first + share, n)
{rounds}
{after}
"""

ROUNDS = """    while {more}:
{body}
        first += {block_rows}
"""

LONG_ROUNDS = """    while {more}:
        middle = min(first + {at_once}, last)
        while {some}:
{body}
            first += {block_rows}
{added}
"""
"""The same with sums in two levels: sums of some rounds, which are then added to those of all."""
AT_ONCE = 64
"""Rounds that are added up before their sum is added to that of all rounds: equal numbers in
float32 lose 1e-6 in 64 additions, and 1e-5 in 1,024."""

COMBINE = """\
def combine(parts, out, blocks, size):
    t = cuda.threadIdx.x
    column = cuda.blockIdx.x * {columns} + (t & {last})
    place = min(column, size - 1)
    s = cuda.shared.array({values}, {kind})
    total = {kind}(0)
    whole = blocks & {whole}
    for b in range(t >> {bits}, whole, {stride}):
{loads}
    b = whole + (t >> {bits})
    if blocks - whole > {shares}:
{last_loads}
    else:
        if b < blocks:
            total += parts[b * size + place]
{shuffles}
    if t & 31 < {columns}:
        s[(t >> 5) * {columns} + (t & 31)] = total
    cuda.syncthreads()
    if t < {columns} and column < size:
        for k in range(1, {warps}):
            total += s[k * {columns} + t]
        out[column] = total
"""
COMBINE_THREADS = 512
COMBINE_COLUMNS = 8
"""Columns of a block of that kernel: as many as a sector of 32 bytes has in float32."""
COMBINE_AT_ONCE = 8
"""Values that each of its threads loads before it adds them up."""


def combine(kind):
    """The text of the kernel that adds up the partial sums of all blocks, of `size` values each.

    Many threads share a column, each with several values in flight. The order is fixed.
    """
    columns = COMBINE_COLUMNS
    shares = COMBINE_THREADS // columns
    names = [f"x{k}" for k in range(COMBINE_AT_ONCE)]
    loads = [f"{x} = parts[(b + {k * shares}) * size + place]" for k, x in enumerate(names)]
    last_loads = []
    for k, x in enumerate(names):
        last_loads += [f"b{k} = b + {k * shares}"]
        last_loads += [f"{x} = parts[min(b{k}, blocks - 1) * size + place]"]
    loads.append(f"total += {_in_pairs(names)}")
    some = [f"({x} if b{k} < blocks else {kind}(0))" for k, x in enumerate(names)]
    last_loads.append(f"total += {_in_pairs(some)}")
    shuffles = [f"total += {shuffled('total', kind, step)}" for step in steps(columns, WARP)]
    return COMBINE.format(
        kind=kind,
        columns=columns,
        last=columns - 1,
        bits=columns.bit_length() - 1,
        warps=COMBINE_THREADS // WARP,
        values=COMBINE_THREADS // WARP * columns,
        stride=shares * COMBINE_AT_ONCE,
        whole=-shares * COMBINE_AT_ONCE,
        shares=shares,
        loads="\n".join(indented(loads, 2)),
        last_loads="\n".join(indented(last_loads, 2)),
        shuffles="\n".join(indented(shuffles)),
    )


def _in_pairs(terms):
    """The sum of these terms, of as many as a power of two: of pairs, and of pairs of these."""
    while len(terms) > 1:
        terms = [f"({x} + {y})" for x, y in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


def indented(lines, depth=1):
    return ["    " * depth + line for line in lines]


class Rounds(NamedTuple):
    """The lines for a round of so many rows, all of which have to be there where it is `whole`."""

    lines: list[str]
    rows: int
    whole: bool

    def text(self, sums):
        """The loop over rounds."""
        ends = f"first + {self.rows} <= {{}}" if self.whole else "first < {}"
        added = [line for x in sums for line in (f"{whole_of(x)} += {x}", f"{x} = f32(0)")]
        return (LONG_ROUNDS if sums else ROUNDS).format(
            more=ends.format("last"),
            some=ends.format("middle"),
            at_once=AT_ONCE * self.rows,
            block_rows=self.rows,
            body="\n".join(indented(self.lines, 3 if sums else 2)),
            added="\n".join(indented(added, 2)),
        )


def frame(arguments, group, rounds, around, sums=()):
    """A kernel with `group` threads for a row: rounds of one kind after the other, and the lines
    `around` them, those before and those after.

    It takes the rows from `low` to `n`, and each block `share` consecutive ones. So launches for
    some of the rows have the same partial sums as one launch for all of them. `sums` are the names
    of accumulators in float32 that are added up in two levels.
    """
    before, after = around
    before = [*before, *[f"{whole_of(x)} = f32(0)" for x in sums]]
    return FRAME.format(
        arguments=", ".join(arguments),
        last_lane=group - 1,
        group_bits=group.bit_length() - 1,
        rounds="\n".join([x.text(sums) for x in rounds]).rstrip("\n"),
        before="\n".join(indented(before)),
        after="\n".join(indented(after)),
    )


def whole_of(name):
    """The name of the sum of all rounds, for an accumulator of some of them."""
    return f"{name}_whole"


def steps(low, high):
    """Distances of threads that exchange values in a butterfly: low, 2 low, ... below high."""
    step = low
    while step < high:
        yield step
        step *= 2


def shuffled(name, kind, step):
    """The expression of `name` of the thread at this distance in a butterfly."""
    return moved_by(f"cuda.shfl_xor_sync(-1, {{}}, {step})", name, kind)


def moved_by(call, name, kind):
    """The expression of `name` in another thread; `call` is the text of a call that moves 32 bits.

    Values of 64 bits are moved in halves: numba-cuda-mlir 0.6.0 would round a double to 32 bits.
    """
    if kind not in ("f64", "i64"):
        return call.format(name)
    value = name if kind == "f64" else f"as_f64({name})"
    high, low = [call.format(f"{half}_half({value})") for half in ("high", "low")]
    both = f"from_halves({high}, {low})"
    return both if kind == "f64" else f"as_i64({both})"


def over_group(name, kind, group, combined, region):
    """Lines that combine `name` over the threads of a group, all of which then have the result.

    combined(x, y) gives the expression of two values combined. The warps of a group exchange values
    through shared memory, from index `region` on.
    """
    lines = []
    for step in steps(1, min(group, WARP)):
        lines.append(f"other_{kind} = {shuffled(name, kind, step)}")
        lines.append(f"{name} = {combined(name, f'other_{kind}')}")
    if group <= WARP:
        return lines
    warps = group // WARP
    lines += ["if t & 31 == 0:", f"    s_{kind}[{region} + (t >> 5)] = {name}"]
    lines += ["cuda.syncthreads()", f"{name} = s_{kind}[{region}]"]
    for w in range(1, warps):
        lines.append(f"other_{kind} = s_{kind}[{region + w}]")
        lines.append(f"{name} = {combined(name, f'other_{kind}')}")
    return lines


class BlockSum:
    """A value of each thread that is added up over the threads of a block.

    spread: "lanes" (each lane has a sum of its own), "group" (all threads of a group have the same
    value), "threads" (each thread has a part of the sum). `place` is where the sum is written, an
    expression in `lane`; `inside` is the condition on `lane` under which it is, or empty.
    """

    def __init__(self, name, kind, spread, place, inside=""):
        self.name, self.kind, self.spread, self.place = name, kind, spread, place
        self.inside = inside

    def width(self, group):
        """Values that a warp has after its threads have been combined."""
        return min(group, WARP) if self.spread == "lanes" else 1


def block_sums(sums, group, threads):
    """Lines that add up the sums of a block and write them, as many at a time as have room."""
    lines: list[str] = []
    batch: list[tuple[BlockSum, int]] = []
    used = 0
    for s in sums:
        if s.spread == "lanes" and group > WARP:
            condition = f"if {s.inside}:" if s.inside else "if True:"
            lines += [condition, f"    {s.place} = {s.name}"]
            continue
        size = threads // WARP * s.width(group)
        if used + size > SHARED_VALUES:
            lines += [*_batch(batch, group, threads), "cuda.syncthreads()"]
            batch, used = [], 0
        batch.append((s, used))
        used += size
    if not batch:
        return lines
    if group > WARP:  # the last round may still read what warps have exchanged there
        lines.insert(0, "cuda.syncthreads()")
    return lines + _batch(batch, group, threads)


def _batch(batch, group, threads):
    """Lines for sums with their regions of shared memory: within warps, and then over the block."""
    lines: list[str] = []
    for s, region in batch:
        if s.spread == "group" and group > WARP:
            # The block is one group, and every thread has the sum.
            lines += ["if t == 0:", f"    s_{s.kind}[{region}] = {s.name}"]
            continue
        width = s.width(group)
        low = 1 if s.spread == "threads" else group
        lines += [f"{s.name} += {shuffled(s.name, s.kind, step)}" for step in steps(low, WARP)]
        if width == WARP:
            lines.append(f"s_{s.kind}[{region} + t] = {s.name}")
            continue
        lines += [f"if t & 31 < {width}:"]
        lines += [f"    s_{s.kind}[{region} + (t >> 5) * {width} + (t & 31)] = {s.name}"]
    lines.append("cuda.syncthreads()")
    for s, region in batch:
        width = s.width(group)
        parts = 1 if s.spread == "group" and group > WARP else threads // WARP
        condition = f"t < {width}" + (f" and {s.inside}" if s.inside else "")
        terms = [f"s_{s.kind}[{region + w * width} + t]" for w in range(parts)]
        lines += [f"if {condition}:", f"    {s.place} = {' + '.join(terms)}"]
    return lines


def shared_sizes(sums, group, threads):
    """By dtype, the values of shared memory that `block_sums` uses."""
    sizes: dict[str, int] = {}
    used = 0
    for s in sums:
        if s.spread == "lanes" and group > WARP:
            continue
        size = threads // WARP * s.width(group)
        used = size if used + size > SHARED_VALUES else used + size
        sizes[s.kind] = max(used, sizes.get(s.kind, 0))
    return sizes
