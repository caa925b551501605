"""The lines of random programs that make complex values, transform them and make them real."""

from typing import TYPE_CHECKING, Any

import numpy as np

from executors.program_matrices import matrices
from executors.program_steps import CATALOGUE, axis_of, not_zero, step, together, with_axes

if TYPE_CHECKING:
    from executors.programs import Author

OF_REAL = (
    "xp.fft.{f}({0}, axis={1})|xp.fft.{f}({0}, axis={1})|xp.fft.{f}({0}, n={n}, axis={1})|"
    "xp.fft.{f}({0}, axis={1}, norm='ortho')|xp.fft.{f}({0}, n={n}, axis={1}, norm='forward')"
).split("|")
OF_PLANES = (
    "xp.fft.{f}2({0})|xp.fft.{f}n({0})|xp.fft.{f}2({0}, axes=(0, -1), norm='ortho')|"
    "xp.fft.{f}n({0}, axes=(-1, 0))|xp.fft.{f}2({0}, s=({n}, 3), axes=(-2, -1))"
).split("|")


@step(10, CATALOGUE)
def transform(a: "Author") -> str | None:
    """A discrete Fourier transform: cut or padded, of each direction and scale."""
    kinds = a.choice(["f", "c"])
    name = a.array(with_axes, kinds) or a.array(with_axes)
    if not name:
        return None
    real = not np.iscomplexobj(a.known[name])
    axis, n = axis_of(a, name), a.choice([1, 2, 3, 4, 5, 6, 8])
    if np.ndim(a.known[name]) > 1 and a.chance(30):
        functions = ["fft", "ifft", "rfft"] if real else ["fft", "ifft", "irfft"]
        text = a.choice(OF_PLANES)
    else:
        text = a.choice(OF_REAL)
        functions = ["fft", "ifft", *(["rfft", "ihfft"] if real else ["irfft", "hfft"])]
    if any(n < 2 for n in a.shape(name)) and not real:
        functions = ["fft", "ifft"]
    return text.format(name, axis, f=a.choice(functions), n=n)


@step(3, CATALOGUE)
def filtered(a: "Author") -> str | None:
    """A multiplication of the transform, and back."""
    name = a.array(with_axes)
    if not name:
        return None
    axis = axis_of(a, name)
    n = a.shape(name)[axis]
    texts = [
        "xp.fft.irfft(xp.fft.rfft({0}, axis={1}) * (0.5 - 0.3j), n={2}, axis={1})",
        "xp.fft.ifft(xp.exp(1j * xp.fft.fft({0}, axis={1})), axis={1})",
        "xp.real(xp.fft.ifftn(xp.fft.fftn({0}) ** 2))",
        "xp.fft.fftshift({0})",
        "xp.fft.ifftshift({0}, axes={1})",
        "sp.fft.dct({0}, axis={1})",
        "sp.fft.dct({0}, axis={1}, norm='ortho')",
        "sp.fft.idct({0}, axis={1})",
        "sp.fft.idct({0}, axis={1}, norm='ortho')",
        "sp.fft.dctn({0})",
        "sp.fft.idctn({0}, norm='ortho')",
    ]
    return a.choice(texts).format(name, axis, n)


@step(4, CATALOGUE)
def made_complex(a: "Author") -> str | None:
    name = a.array()
    other = name and a.array(lambda v: np.shape(v) == a.shape(name))
    texts = ["{0} + 1j * {1}", "xp.exp(1j * {0})", "{0} * (0.7 - 0.4j)", "{0} * xp.exp(1j * {1})"]
    return name and a.choice(texts).format(name, other)


def elsewhere(z: Any) -> bool:
    """Away from the branch cuts along the real axis to the left of 8."""
    return bool(np.all(np.abs(z) < 7.5))


def off_cut(z: Any) -> bool:
    return bool(np.all((np.real(z) > 0.1) | (np.abs(np.imag(z)) > 0.1)) and np.all(np.abs(z) > 0.1))


OF_COMPLEX = {
    **dict.fromkeys(
        "xp.conj({0})|1j * {0}|-{0}|{0} ** 2|xp.square({0})|{0} ** 3|xp.exp({0})|xp.sin({0})|"
        "xp.cos({0})|xp.cosh({0})|xp.sinh({0})|{0} * xp.conj({0})|xp.real({0}) + 1j * {0}|"
        "{0} / (3.0 + xp.real({0} * xp.conj({0})))|xp.expm1({0})|xp.imag({0}) * {0}|"
        "xp.tanh(0.3 * {0})|xp.arctan(0.2 * {0})|{0}.conj()|{0}.real - {0}.imag".split("|"),
        lambda z: True,
    ),
    **dict.fromkeys(
        "xp.log({0} + 8.0)|xp.sqrt({0} + 8.0)|({0} + 8.0) ** 1.5|1.0 / ({0} + 8.0)|"
        "xp.log1p({0} + 8.0)|xp.angle({0} + 8.0)|xp.abs({0} + 8.0)|xp.reciprocal({0} - 8.0)|"
        "xp.arcsinh(0.1 * {0})".split("|"),
        elsewhere,
    ),
    **dict.fromkeys(
        "xp.abs({0})|abs({0}) ** 2|1.0 / {0}|xp.reciprocal({0})|{0} ** -2|xp.abs({0}) * {0}|"
        "{0} / xp.abs({0})".split("|"),  # JAX takes the sign to be constant
        not_zero,
    ),
    **dict.fromkeys("xp.log({0})|xp.sqrt({0})|xp.angle({0})|{0} ** 0.5".split("|"), off_cut),
}


@step(10, CATALOGUE)
def of_complex(a: "Author") -> str | None:
    text = a.choice(list(OF_COMPLEX))
    name = a.array(OF_COMPLEX[text], "c")
    return name and text.format(name)


@step(5, CATALOGUE)
def of_complex_pairs(a: "Author") -> str | None:
    name = a.array(lambda x: True, "c")
    if not name:
        return None
    most = a.repertoire.size
    shape = a.shape(name)
    other = a.array(lambda x: 0 < np.prod(together(shape, np.shape(x)) or (0,)) <= most, "fc")
    texts = [
        "{0} * {1}", "{0} + {1}", "{0} - {1}", "{0} / (9.0 + {1})", "xp.exp(0.3 * {0} * {1})",
        "xp.where({2} > 0.1, {0}, {1})", "xp.real({0} * xp.conj({1}))",
    ]  # fmt: skip
    mask = a.numbers(shape[-1:] if shape and shape[-1] < 9 else ())
    return other and a.choice(texts).format(name, other, f"np.array({mask})")


@step(7, CATALOGUE)
def complex_structure(a: "Author") -> str | None:
    """Sums, products and rearrangements of complex arrays."""
    name = a.array(with_axes, "c")
    if not name:
        return None
    texts = [
        "xp.sum({0}, axis={1})", "xp.mean({0}, axis={1}, keepdims=True)", "xp.prod({0}, axis={1})",
        "xp.cumsum({0}, axis={1})", "xp.cumprod({0}, axis={1})", "xp.var({0}, axis={1})",
        "xp.flip({0}, axis={1})", "xp.roll({0}, 1, axis={1})", "{0}.T", "{0}[..., ::-1]", "{0}[0]",
        "{0}[np.array([0, -1])]", "xp.concatenate([{0}, xp.conj({0})], axis={1})", "xp.ravel({0})",
        "xp.stack([xp.real({0}), xp.imag({0})], axis={1})", "xp.pad({0}, 1)", "{0}[..., None]",
        "xp.diff({0}, axis={1})", "xp.vdot({0}, {0})", "xp.take({0}, 0, axis={1})",
        "xp.tensordot({0}, xp.conj({0}), axes={2})", "xp.outer({0}[..., 0], {0}[..., 0])",
        "xp.convolve({0}.ravel(), np.array([0.5, -0.3]))", "xp.reshape({0}, -1)",
        "xp.linalg.norm({0} + 5.0, axis={1})", "xp.moveaxis({0}, {1}, 0)", "xp.conj({0}).T",
    ]  # fmt: skip
    if matrices(a.known[name]):
        texts += ["{0} @ xp.conj({0}).mT", "xp.einsum('...ij,...ij->...i', {0}, {0})"]
        texts += ["xp.tril({0})", "xp.trace({0})", "{0}.mT", "xp.kron({0}[0], {0}[0])"]
    return a.choice(texts).format(name, axis_of(a, name), len(a.shape(name)))
