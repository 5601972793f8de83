// SPDX-License-Identifier: Apache-2.0
#include "model_scan/safe_globals.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace redoubt::model_scan {
namespace {

// Python's own.
constexpr ModuleNames kPython[] = {
    {"builtins", "bool bytearray bytes complex dict float frozenset int list object set slice str tuple"},
    {"__builtin__", "bool bytearray bytes complex dict float frozenset int list long object set slice str tuple unicode"},
    {"collections", "Counter OrderedDict defaultdict deque"},
    {"copyreg", "_reconstructor"},
    {"copy_reg", "_reconstructor"},
    {"datetime", "date datetime time timedelta timezone"},
    {"decimal", "Decimal"},
    {"fractions", "Fraction"},
    {"uuid", "UUID"},
    {"argparse", "Namespace"},
    {"pathlib", "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath"},
    {"pathlib._local", "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath"},
    {"types", "SimpleNamespace"},
};

// NumPy's and scikit-learn's, under the names that older versions have written.
constexpr ModuleNames kNumpy[] = {
    {"numpy", "bool bool_ bytes_ complex128 complex64 datetime64 float16 float32 float64 int16 int32 int64 int8 intc longdouble longlong ndarray "
              "object_ str_ timedelta64 uint16 uint32 uint64 uint8 uintc ulonglong void"},
    {"numpy", "absolute arccos arcsin arctan cbrt ceil cos cosh deg2rad degrees exp exp2 expm1 floor log log10 log1p log2 negative rad2deg radians reciprocal record rint sign sin sinh sqrt square tan tanh"},
    {"numpy.core.multiarray", "_reconstruct scalar"},
    {"numpy._core.multiarray", "_reconstruct scalar"},
    {"numpy.core.numeric", "_frombuffer"},
    {"numpy._core.numeric", "_frombuffer"},
    {"numpy.ma.core", "MaskedArray"},
    {"sklearn.ensemble._gb_losses", "BinomialDeviance ExponentialLoss HuberLossFunction LeastAbsoluteError LeastSquaresError MultinomialDeviance QuantileLossFunction"},
    {"sklearn.metrics._dist_metrics", "ChebyshevDistance EuclideanDistance ManhattanDistance MinkowskiDistance"},
    {"sklearn.neighbors._dist_metrics", "ChebyshevDistance EuclideanDistance ManhattanDistance MinkowskiDistance newObj"},
    {"sklearn.linear_model._sgd_fast", "Huber Log ModifiedHuber SquaredLoss"},
};

// What torch's own weights-only unpickler admits, and the layers of torch.nn.
constexpr ModuleNames kTorch[] = {
    {"torch", "BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor Size Tensor bfloat16 "
              "bits16 bits1x8 bits2x4 bits4x2 bits8 bool complex128 complex32 complex64 device float16 float32 float4_e2m1fn_x2 float64 "
              "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 int3 int32 int4 int5 int6 int64 int7 "
              "int8 per_channel_affine per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine per_tensor_symmetric qint32 qint8 "
              "quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6 uint64 uint7 uint8"},
    {"torch._tensor", "_rebuild_from_type_v2"},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage _rebuild_nested_tensor "
                     "_rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 "
                     "_rebuild_tensor_v3 _rebuild_wrapper_subclass"},
    {"torch.serialization", "_get_layout"},
    {"torch.nn.parameter", "Buffer Parameter"},
    {"torch.nn.modules.activation", "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish MultiheadAttention "
                                    "PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold"},
    {"torch.nn.modules.adaptive", "AdaptiveLogSoftmaxWithLoss"},
    {"torch.nn.modules.batchnorm", "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm"},
    {"torch.nn.modules.channelshuffle", "ChannelShuffle"},
    {"torch.nn.modules.container", "ModuleDict ModuleList ParameterDict ParameterList Sequential"},
    {"torch.nn.modules.conv", "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d"},
    {"torch.nn.modules.distance", "CosineSimilarity PairwiseDistance"},
    {"torch.nn.modules.dropout", "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout"},
    {"torch.nn.modules.flatten", "Flatten Unflatten"},
    {"torch.nn.modules.fold", "Fold Unfold"},
    {"torch.nn.modules.instancenorm", "InstanceNorm1d InstanceNorm2d InstanceNorm3d"},
    {"torch.nn.modules.linear", "Bilinear Identity Linear NonDynamicallyQuantizableLinear"},
    {"torch.nn.modules.loss", "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss "
                              "MSELoss MarginRankingLoss MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss "
                              "SoftMarginLoss TripletMarginLoss"},
    {"torch.nn.modules.normalization", "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm"},
    {"torch.nn.modules.padding", "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d "
                                 "ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d"},
    {"torch.nn.modules.pixelshuffle", "PixelShuffle PixelUnshuffle"},
    {"torch.nn.modules.pooling", "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d "
                                 "AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d "
                                 "MaxUnpool1d MaxUnpool2d MaxUnpool3d"},
    {"torch.nn.modules.rnn", "GRU GRUCell LSTM LSTMCell RNN RNNCell"},
    {"torch.nn.modules.sparse", "Embedding EmbeddingBag"},
    {"torch.nn.modules.transformer", "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"},
    {"torch.nn.modules.upsampling", "Upsample UpsamplingBilinear2d UpsamplingNearest2d"},
    {"torch.nn.functional", "relu"},
    {"torch._C._nn", "gelu"},
};

struct Special {
  const char* module;
  const char* name;
  Known known;
};

constexpr Special kSpecial[] = {
    {"_codecs", "encode", {Role::text_encode}},
    {"numpy", "dtype", {Role::array_type}},
    {"numpy", "ndarray", {Role::array_class}},
    {"numpy", "matrix", {Role::array_class}},
    {"numpy", "recarray", {Role::array_class}},
    {"numpy.rec", "recarray", {Role::array_class}},
    {"numpy.ma", "MaskedArray", {Role::array_class}},
    {"numpy.ma.core", "MaskedArray", {Role::array_class}},
    {"builtins", "range", {Role::range}},
    {"__builtin__", "xrange", {Role::range}},
    {"builtins", "bytes", {Role::buffer}},
    {"builtins", "bytearray", {Role::buffer}},
    {"__builtin__", "bytes", {Role::buffer}},
    {"__builtin__", "bytearray", {Role::buffer}},
    {"torch._tensor", "_rebuild_from_type_v2", {Role::typed_tensor}},
    {"torch.storage", "_load_from_bytes", {Role::nested_torch}},
    {"joblib.numpy_pickle", "NumpyArrayWrapper", {Role::array_wrapper}},
    {"sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper", {Role::array_wrapper}},
    {"torch.storage", "UntypedStorage", {Role::storage, 1}},
    {"torch.storage", "TypedStorage", {Role::storage, 0}},
};

struct Storage {
  const char* name;
  std::uint32_t element_bytes;
};
constexpr Storage kStorages[] = {{"BFloat16Storage", 2}, {"BoolStorage", 1}, {"ByteStorage", 1}, {"CharStorage", 1}, {"ComplexDoubleStorage", 16}, {"ComplexFloatStorage", 8},
                                 {"DoubleStorage", 8}, {"FloatStorage", 4}, {"HalfStorage", 2}, {"IntStorage", 4}, {"LongStorage", 8}, {"QInt32Storage", 4},
                                 {"QInt8Storage", 1}, {"QUInt2x4Storage", 1}, {"QUInt4x2Storage", 1}, {"QUInt8Storage", 1}, {"ShortStorage", 2}};

std::string key_of(std::string_view module, std::string_view name) { return std::string(module) + '\n' + std::string(name); }

class Names {
 public:
  Names() {
    add_all(kPython), add_all(kNumpy), add_all(kTorch), add_all(estimator_globals());
    for (const auto& storage : kStorages) {
      for (const char* module : {"torch", "torch.cuda"}) known_[key_of(module, storage.name)] = {Role::storage, storage.element_bytes};
    }
    for (const auto& special : kSpecial) known_[key_of(special.module, special.name)] = special.known;
  }

  Known find(std::string_view module, std::string_view name) const {
    const auto found = known_.find(key_of(module, name));
    return found == known_.end() ? Known{} : found->second;
  }

 private:
  void add_all(const auto& list) {
    for (const auto& [module, names] : list) {
      std::string_view rest = names;
      while (!rest.empty()) {
        const auto end = std::min(rest.find(' '), rest.size());
        known_[key_of(module, rest.substr(0, end))] = {Role::data};
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
  }
  std::unordered_map<std::string, Known> known_;
};

constexpr std::array<std::string_view, 44> kDangerous = {
    "os", "posix", "nt", "subprocess", "_posixsubprocess", "sys", "builtins", "__builtin__", "socket", "shutil", "runpy", "pty", "code", "codeop", "pickle", "_pickle",
    "cPickle", "marshal", "importlib", "_frozen_importlib", "imp", "ctypes", "_ctypes", "commands", "webbrowser", "urllib", "http", "requests", "asyncio", "operator", "_operator",
    "functools", "timeit", "cProfile", "profile", "pdb", "bdb", "trace", "multiprocessing", "tempfile", "types", "dill", "cloudpickle", "pip"};

}  // namespace

Known look_up(std::string_view module, std::string_view name) {
  static const Names names;
  return names.find(module, name);
}

bool is_dangerous_module(std::string_view module) {
  const auto top = module.substr(0, module.find('.'));
  return std::find(kDangerous.begin(), kDangerous.end(), top) != kDangerous.end();
}

}  // namespace redoubt::model_scan
