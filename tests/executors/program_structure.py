"""The lines of random programs that rearrange arrays, index them and update them in place."""

from typing import TYPE_CHECKING

import numpy as np

from executors.program_steps import apart, axis_of, step, together, with_axes

if TYPE_CHECKING:
    from executors.programs import Author

WHOLE = (
    "xp.ravel({0})|xp.transpose({0})|{0}.T|xp.flip({0})|xp.reshape({0}, -1)|{0}[None]|"
    "{0}[..., None]|{0}[::-1]|{0}[-1]|{0}[0, ...]|xp.tile({0}, 2)|{0}[1:]|{0}[::2]|xp.squeeze({0})|"
    "xp.pad({0}, 1)|xp.pad({0}, 1, mode='edge')|xp.pad({0}, (1, 0), mode='wrap')|{0}[..., :-1]|"
    "xp.pad({0}, (0, 1), constant_values=0.5)|xp.atleast_2d({0})|xp.roll({0}, 1)|{0}[..., ::-2]|"
    "xp.broadcast_to({0}, (2, *{0}.shape))|{0}.reshape(1, -1)|xp.concatenate([{0}, {0} * 2])|"
    "xp.stack([{0}, {0}], axis=-1)|xp.hstack([{0}, {0}])|{0}.flatten()|{0}[-1:0:-1]|{0}.ravel()|"
    "xp.vstack([{0}, xp.sin({0})])|xp.array_split({0}, 2)[0]|xp.nan_to_num({0})|xp.copy({0})|"
    "xp.ediff1d({0})|{0}.ravel().dot({0}.ravel())|xp.cov({0}.ravel())|"
    "xp.meshgrid({0}.ravel()[:3], {0}.ravel()[:2])[1]|"
    "xp.convolve({0}.ravel(), np.array([0.5, -0.3]))|"
    "xp.pad({0}, 1, mode='reflect')|xp.pad({0}, 1, mode='symmetric')".split("|")
)
MATRIX = (
    "xp.tril({0})|xp.triu({0}, 1)|xp.trace({0})|xp.diagonal({0})|{0}[:, 0]|{0}[1:, ::-1]|"
    "{0}[0, -1]|xp.rot90({0})|xp.fliplr({0})|xp.linalg.norm({0} + 2.0)|{0}.mT @ {0}|"
    "{0}[:, None, 0]|"
    "xp.diag({0})|{0}[np.array([0, -1]), np.array([0, 0])]|{0}[np.array([[0], [-1]]), [0, 0]]|"
    "{0}[:, np.array([0, 0])]|xp.transpose({0}, (1, 0))|xp.moveaxis({0}, 0, -1)|"
    "xp.flip({0}, axis=(0, 1))|xp.block([[{0}, {0}]])".split("|")
)
CUBE = (
    "xp.transpose({0}, (2, 0, 1))|{0}[:, 0]|{0}[0, :, ::-1]|{0}[..., 0]|xp.swapaxes({0}, 0, 2)|"
    "{0}[np.array([0, 0]), :, np.array([0, -1])]|{0}[:, np.array([0, -1])]|{0}.transpose(1, 2, 0)|"
    "xp.tril({0})|xp.trace({0}, axis1=0, axis2=2)|{0}.reshape({0}.shape[0], -1)".split("|")
)


@step(10)
def structure(a: "Author") -> str | None:
    name = a.array(with_axes)
    if not name:
        return None
    shape = a.shape(name)
    further = {1: WHOLE, 2: MATRIX, 3: CUBE}.get(len(shape), WHOLE)
    text = a.choice(further if a.chance(50) else WHOLE)
    if any(word in text for word in ("reflect", "ediff1d", "cov(")) and min(shape) < 2:
        return None
    return text.format(name)


@step(3)
def reshape(a: "Author") -> str | None:
    name = a.array(with_axes)
    size = name and int(np.prod(a.shape(name)))
    if not name or not size:
        return None
    first = a.choice([n for n in range(1, size + 1) if size % n == 0])
    second = a.choice([n for n in range(1, size // first + 1) if (size // first) % n == 0])
    shape = a.choice([(first, -1), (first, second, -1), (-1, first), (-1, second, first)])
    return f"xp.reshape({name}, {shape})"


@step(3)
def joined(a: "Author") -> str | None:
    """Arrays of one shape side by side."""
    name = a.array(with_axes)
    others = [a.array(lambda v: np.shape(v) == a.shape(name)) for _ in range(2)] if name else []
    if not name or None in others:
        return None
    text = a.choice(["xp.concatenate([{0}], axis={1})", "xp.stack([{0}], axis={1})"])
    return text.format(", ".join([name, *map(str, others)]), axis_of(a, name))


@step(3)
def masked(a: "Author") -> str | None:
    """A constant mask of all axes, or of the first, used as an index or in where."""
    name = a.array(with_axes)
    if not name:
        return None
    shape = a.shape(name)
    shape = shape if a.chance(50) else shape[:1]
    mask = np.random.default_rng(a.rng.randrange(1000)).random(shape) > 0.4
    text = f"np.array({mask.tolist()})"
    if a.chance(60):
        return f"{name}[{text}]" if mask.any() else None
    if shape != a.shape(name):
        return f"xp.compress({text}, {name}, axis=0)" if mask.any() else None
    return f"xp.where({text}, {name}, xp.sin({name}))"


KEYS = ("0", "-1", "np.s_[::2]", "np.s_[1:]", "np.s_[...]", "np.array([0])", "np.s_[::-1]")


@step(6)
def update(a: "Author") -> str | None:
    """Elements set, added to, multiplied or limited by a number or an array."""
    name = a.array(with_axes)
    if not name:
        return None
    shape = a.shape(name)
    keys = [*KEYS, *(["np.s_[..., 0]", "np.s_[:, ::-1]", "np.s_[0, 0]"] if len(shape) > 1 else [])]
    keys += ["np.array([0, -1])"] if shape[0] > 1 else []
    key, how = a.choice(keys), a.choice(["set", "add", "multiply", "set", "max", "min"])
    part = a.evaluate(f"{name}[{key}]")
    inside = np.shape(part)
    value = a.array(lambda x: together(np.shape(x), inside) == inside)
    value = value if a.chance(80) else a.numbers(())
    if (
        not np.size(part)
        or not value
        or (how in ("max", "min") and not apart(a.evaluate(value), part))
    ):
        return None
    return f"ad.put({name}, {key}, {value}, {how!r})"


@step(2)
def update_at(a: "Author") -> str | None:
    """Rows, some of them more than once, added to or limited by a number or a row."""
    name = a.array(with_axes)
    if not name:
        return None
    rows = a.choice(["[0, 0, -1]", "[-1, 0, -1, 0]", "[[0], [0]]"])
    key, how = f"np.array({rows})", a.choice(["add", "add", "max", "min"])
    row = a.evaluate(f"{name}[0]")
    value = a.array(lambda v: np.shape(v) == np.shape(row)) if a.chance(70) else a.numbers(())
    if not value or (how != "add" and not apart(a.evaluate(value), a.evaluate(f"{name}[{key}]"))):
        return None
    return f"ad.put_at({name}, {key}, {value}, {how!r})"
