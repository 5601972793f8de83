#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints src/model_scan/estimator_globals.cc: every global that scikit-learn's estimators write into a pickle once they are fitted.

    python scripts/list_pickle_globals.py > src/model_scan/estimator_globals.cc

Each estimator that scikit-learn lists is fitted on a few rows and pickled with protocols 2 and 4. Kept are the classes and functions of scikit-learn,
SciPy and NumPy alone; a name that reads or writes files, imports, evaluates or wraps a function of the caller's is never kept, whoever wrote it.
"""
import collections
import io
import pickle
import pickletools
import sys
import warnings

import numpy
import sklearn
from sklearn.base import clone
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances
from sklearn.utils.estimator_checks import _enforce_estimator_tags_X, _enforce_estimator_tags_y

KEPT_MODULES = ("sklearn.", "scipy.", "numpy.")
# Of SciPy and NumPy only what holds numbers.
REFUSED_WORDS = ("load", "save", "memmap", "fromfile", "tofile", "exec", "eval", "import", "open", "compile", "f2py", "distutils", "testing", "ctypes")


def globals_of(data):
    """The names as an unpickler gets them: pickletools names GLOBAL's; the texts before STACK_GLOBAL are followed through the memo."""
    found, texts, memo = set(), [], {}
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            found.add(tuple(argument.split(" ", 1)))
            texts.append(None)
        elif opcode.name == "STACK_GLOBAL":
            found.add((texts[-2], texts[-1]))
            texts.append(None)
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else None
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            texts.append(memo.get(argument))
        elif isinstance(argument, str):
            texts.append(argument)
        elif opcode.name not in ("PROTO", "FRAME"):
            texts.append(None)
    return found


def data_for(estimator, random):
    X = numpy.abs(random.normal(size=(40, 4)))
    y = numpy.arange(40) % 2
    return _enforce_estimator_tags_X(estimator, X), _enforce_estimator_tags_y(estimator, y)


def fitted(random):
    for name, kind in all_estimators():
        try:
            instances = list(_construct_instances(kind))
        except Exception as problem:
            print(f"{name}: {problem}", file=sys.stderr)
            continue
        for instance in instances:
            estimator = clone(instance)
            yield estimator
            try:
                estimator.fit(*data_for(estimator, random))
                yield estimator
            except Exception as problem:
                print(f"{name}: not fitted: {str(problem)[:100]}", file=sys.stderr)


def others(random):
    """What estimators hold but the above does not make: texts, sparse matrices, random states, the kinds of losses and solvers."""
    from scipy import sparse
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels
    from sklearn.linear_model import SGDClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    from sklearn import feature_selection, metrics, model_selection
    from sklearn.compose import make_column_selector
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    yield [metrics.get_scorer(name) for name in metrics.get_scorer_names()]
    yield [metrics.fbeta_score, metrics.cohen_kappa_score, metrics.hamming_loss, metrics.hinge_loss, metrics.zero_one_loss, metrics.precision_recall_fscore_support, metrics.mean_squared_log_error, metrics.mean_pinball_loss,
           metrics.mean_tweedie_deviance, metrics.d2_tweedie_score, metrics.ndcg_score, metrics.dcg_score, metrics.coverage_error, metrics.label_ranking_loss, metrics.label_ranking_average_precision_score]
    yield [getattr(feature_selection, name) for name in ("chi2", "f_classif", "f_oneway", "f_regression", "r_regression", "mutual_info_classif", "mutual_info_regression")]
    yield [getattr(model_selection, name) for name in dir(model_selection) if getattr(getattr(model_selection, name), "__module__", "").endswith("._split") and isinstance(getattr(model_selection, name), type) and not name.startswith("Base")]
    yield [model_selection.ParameterGrid({"a": [1]}), make_column_selector(dtype_include="number"), IterativeImputer(max_iter=2).fit(random.normal(size=(20, 3)))]
    yield [kernels.CompoundKernel([kernels.RBF()]), kernels.Exponentiation(kernels.RBF(), 2), kernels.PairwiseKernel()]
    for name, options in (("braycurtis", {}), ("canberra", {}), ("chebyshev", {}), ("dice", {}), ("euclidean", {}), ("manhattan", {}), ("hamming", {}), ("haversine", {}), ("jaccard", {}), ("mahalanobis", {"V": numpy.eye(2)}), ("minkowski", {"p": 3}), ("rogerstanimoto", {}), ("russellrao", {}),
                          ("seuclidean", {"V": numpy.ones(2)}), ("sokalsneath", {})):
        yield [metrics.DistanceMetric.get_metric(name, dtype=kind, **options) for kind in (numpy.float32, numpy.float64)]
    texts, labels = ["aa bb cc", "bb cc dd", "cc dd ee", "dd ee ff"] * 5, [0, 1, 2, 1] * 5
    X, y = numpy.abs(random.normal(size=(40, 4))), numpy.arange(40) % 3
    yield make_pipeline(TfidfVectorizer(), SVC(probability=False)).fit(texts, labels)
    yield make_pipeline(CountVectorizer(), SGDClassifier()).fit(texts, labels)
    yield HashingVectorizer().fit(texts)
    for loss in ("log_loss", "exponential"):
        yield GradientBoostingClassifier(loss=loss, n_estimators=2).fit(X, y % 2)
    yield GradientBoostingClassifier(n_estimators=2).fit(X, y)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield GradientBoostingRegressor(loss=loss, n_estimators=2).fit(X, y)
    for loss in ("squared_error", "absolute_error", "gamma", "poisson", "quantile"):
        yield HistGradientBoostingRegressor(loss=loss, quantile=0.5, max_iter=2).fit(X, y + 1.0)
    yield HistGradientBoostingClassifier(max_iter=2).fit(X, y)
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"):
        yield SGDClassifier(loss=loss).fit(X, y)
    for algorithm in ("ball_tree", "kd_tree", "brute"):
        for metric in ("minkowski", "manhattan", "chebyshev", "euclidean"):
            yield KNeighborsClassifier(algorithm=algorithm, metric=metric).fit(X, y)
    for name in ("RBF", "Matern", "RationalQuadratic", "ExpSineSquared", "DotProduct", "WhiteKernel", "ConstantKernel"):
        kernel = getattr(kernels, name)()
        yield GaussianProcessRegressor(kernel=kernel + kernels.ConstantKernel() * kernel, optimizer=None, alpha=10.0).fit(X, y)
    for form in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        yield sparse.random(5, 5, 0.5, format=form)
        yield getattr(sparse, f"{form}_array")((4, 4))
    for bits in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        yield numpy.random.Generator(getattr(numpy.random, bits)(1))
    yield numpy.random.RandomState(1)
    for kind in "?bhilqBHILQefdgFDGSUOMm":
        yield numpy.zeros(3, dtype=kind)
        yield numpy.zeros((2, 3), dtype=kind, order="F")
    yield [numpy.float32(1), numpy.int64(2), numpy.bool_(True), numpy.str_("x"), numpy.bytes_(b"x"), numpy.datetime64("2020-01-01"), numpy.complex64(1)]
    yield [numpy.float64, numpy.float32, numpy.float16, numpy.int64, numpy.int32, numpy.int16, numpy.int8, numpy.uint64, numpy.uint32, numpy.uint16, numpy.uint8,
           numpy.bool_, numpy.complex64, numpy.complex128, numpy.longdouble, numpy.str_, numpy.bytes_, numpy.object_, numpy.ndarray, numpy.datetime64]
    yield [numpy.zeros(3).view(numpy.recarray), numpy.ma.masked_array([1, 2], [0, 1]), numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), numpy.matrix([[1]])]
    yield [getattr(numpy, name) for name in ("log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "cbrt", "square", "abs", "sign", "sin", "cos", "tan", "tanh", "mean", "median", "sum")]


def main():
    warnings.simplefilter("ignore")
    random = numpy.random.RandomState(0)
    names = collections.defaultdict(set)
    for source in (fitted(random), others(random)):
        for value in source:
            for protocol in (2, 4, 5):
                try:
                    data = pickle.dumps(value, protocol)
                except Exception:
                    continue
                for module, name in globals_of(data):
                    if module and module.startswith(KEPT_MODULES) and not any(word.lower() in f"{module}.{name}".lower() for word in REFUSED_WORDS):
                        names[module].add(name)
    out = io.StringIO()
    out.write("// SPDX-License-Identifier: Apache-2.0\n//\n")
    out.write(f"// Made by scripts/list_pickle_globals.py from scikit-learn {sklearn.__version__} and NumPy {numpy.__version__}.\n")
    out.write('#include "model_scan/safe_globals.h"\n\nnamespace redoubt::model_scan {\n\n')
    out.write("const std::vector<ModuleNames>& estimator_globals() {\n  static const std::vector<ModuleNames> kNames = {\n")
    for module in sorted(names):
        out.write(f'      {{"{module}", "{" ".join(sorted(names[module]))}"}},\n')
    out.write("  };\n  return kNames;\n}\n\n}  // namespace redoubt::model_scan\n")
    sys.stdout.write(out.getvalue())


if __name__ == "__main__":
    main()
