"""Formulas of the distributions of `scipy.stats`, which takes plain arrays only; for messages.

z is ``(x - loc) / scale``. The densities are those inside of the distribution's support.
"""

_LOG_DENSITIES = {
    "beta": "special.xlogy(a - 1, z) + special.xlog1py(b - 1, -z) - special.betaln(a, b)",
    "cauchy": "-np.log(np.pi) - np.log1p(z**2)",
    "chi2": "special.xlogy(df / 2 - 1, z) - z / 2 - special.gammaln(df / 2) - df / 2 * np.log(2)",
    "expon": "-z",
    "gamma": "special.xlogy(a - 1, z) - z - special.gammaln(a)",
    "gumbel_l": "z - np.exp(z)",
    "gumbel_r": "-z - np.exp(-z)",
    "halfnorm": "-(z**2) / 2 + np.log(2 / np.pi) / 2",
    "invgamma": "-(a + 1) * np.log(z) - 1 / z - special.gammaln(a)",
    "laplace": "-np.abs(z) - np.log(2)",
    "logistic": "special.log_expit(z) + special.log_expit(-z)",
    "lognorm": "-(np.log(z) ** 2) / (2 * s**2) - np.log(s * z) - np.log(2 * np.pi) / 2",
    "norm": "-(z**2) / 2 - np.log(2 * np.pi) / 2",
    "pareto": "np.log(b) - (b + 1) * np.log(z)",
    "rayleigh": "np.log(z) - z**2 / 2",
    "skewnorm": "-(z**2) / 2 - np.log(np.pi / 2) / 2 + special.log_ndtr(a * z)",
    "t": "-(df + 1) / 2 * np.log1p(z**2 / df) - np.log(df) / 2 - special.betaln(df / 2, 0.5)",
    "uniform": "np.where((z >= 0) & (z <= 1), 0.0, -np.inf)",
    "vonmises": "kappa * (np.cos(z) - 1) - np.log(2 * np.pi * special.i0e(kappa))",
    "weibull_min": "np.log(c) + special.xlogy(c - 1, z) - z**c",
}

_LOG_MASSES = {
    "bernoulli": "special.xlogy(k, p) + special.xlog1py(1 - k, -p)",
    "binom": "special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1) + "
    "special.xlogy(k, p) + special.xlog1py(n - k, -p)",
    "geom": "special.xlog1py(k - 1, -p) + np.log(p)",
    "nbinom": "special.gammaln(n + k) - special.gammaln(k + 1) - special.gammaln(n) + "
    "n * np.log(p) + special.xlog1py(k, -p)",
    "poisson": "special.xlogy(k, mu) - mu - special.gammaln(k + 1)",
}

_OTHERS = {
    "norm.cdf": "special.ndtr(z)",
    "norm.logcdf": "special.log_ndtr(z)",
    "norm.sf": "special.ndtr(-z)",
    "norm.logsf": "special.log_ndtr(-z)",
    "norm.ppf": "loc + scale * special.ndtri(q)",
    "logistic.cdf": "special.expit(z)",
    "logistic.logcdf": "special.log_expit(z)",
    "logistic.sf": "special.expit(-z)",
    "logistic.logsf": "special.log_expit(-z)",
    "expon.cdf": "-np.expm1(-z)",
    "expon.sf": "np.exp(-z)",
    "expon.logsf": "-z",
    "gamma.cdf": "special.gammainc(a, z)",
    "gamma.sf": "special.gammaincc(a, z)",
    "beta.cdf": "special.betainc(a, b, z)",
    "beta.sf": "special.betaincc(a, b, z)",
    "chi2.cdf": "special.gammainc(df / 2, z / 2)",
    "chi2.sf": "special.gammaincc(df / 2, z / 2)",
    "poisson.cdf": "special.gammaincc(np.floor(k) + 1, mu)",
    "dirichlet.logpdf": "np.sum(special.xlogy(alpha - 1, x)) + special.gammaln(np.sum(alpha)) - "
    "np.sum(special.gammaln(alpha))",
    "multivariate_normal.logpdf": "-((x - mean) @ np.linalg.solve(cov, x - mean) + "
    "np.linalg.slogdet(cov)[1] + x.size * np.log(2 * np.pi)) / 2",
}

_SCIPYS_CLASSES = {"Normal": "norm", "StandardNormal": "norm"}
"""Those of the classes of distributions that are called otherwise than their functions."""


def formula(name: str) -> str | None:
    """What ``scipy.stats.name`` is, written with NumPy and `gpuad.scipy.special`: "norm.logpdf"."""
    distribution, _, method = name.partition(".")
    distribution = _SCIPYS_CLASSES.get(distribution, distribution.lower())
    if f"{distribution}.{method}" in _OTHERS:
        return _OTHERS[f"{distribution}.{method}"]
    log, scaled = _LOG_MASSES.get(distribution), ""
    if distribution in _LOG_DENSITIES:
        log, scaled = _LOG_DENSITIES[distribution], " - np.log(scale)"
    if log is None or method not in ("logpdf", "logpmf", "pdf", "pmf"):
        return None
    return f"{log}{scaled}" if method.startswith("log") else f"np.exp({log}{scaled})"


def advice(name: str) -> str | None:
    """What to write instead of a method of `scipy.stats`, with what its names mean."""
    whole = name in _SCIPYS_CLASSES
    text = formula(f"{name}.logpdf" if whole else name)
    if text is None:
        return None
    meant = ["this is its logpdf"] if whole else []
    if "z" in _names(text):
        meant.append("z = (x - loc) / scale")
    if name.startswith("Normal"):
        meant.append("loc = mu, scale = sigma")
    where = f", where {', '.join(meant)}" if meant else ""
    return text.replace("special.", "gpuad.scipy.special.") + where


def _names(text: str) -> set[str]:
    """The names in a formula."""
    return set(compile(text, "formula", "eval").co_names)
