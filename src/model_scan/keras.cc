// SPDX-License-Identifier: Apache-2.0
//
// Keras models: what a configuration asks for by name, in .keras archives (config.json) and in HDF5 files, where it is a text among others.
#include <fmt/format.h>

#include <set>

#include "model_scan/byte_reader.h"
#include "model_scan/hdf5_references.h"
#include "model_scan/scan.h"
#include "model_scan/word_list.h"

namespace redoubt::model_scan {
namespace {

// The classes of Keras 3.15.1 that hold numbers and shapes alone; not those that run a function of the file or load another file
// (Lambda, TFSMLayer, JaxLayer, FlaxLayer, TorchModuleWrapper).
constexpr const char* kClasses =
    "AUC AWQDTypePolicy Accuracy Activation ActivityRegularization Adadelta Adafactor Adagrad Adam AdamW Adamax "
    "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D "
    "AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D AveragePooling2D "
    "AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization Bidirectional BinaryAccuracy BinaryCrossentropy "
    "BinaryFocalCrossentropy BinaryIoU CTC CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy "
    "CategoricalGeneralizedCrossEntropy CategoricalHinge CategoryEncoding CenterCrop Circle Concatenate ConcordanceCorrelation Constant "
    "Constraint ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose "
    "ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D "
    "Convolution3DTranspose CosineDecay CosineDecayRestarts CosineSimilarity Cropping1D Cropping2D Cropping3D CutMix DTypePolicy "
    "DTypePolicyMap Dense DepthwiseConv1D DepthwiseConv2D Dice Discretization Dot Dropout ELU EinsumDense Embedding Equalization "
    "ExponentialDecay F1Score FBetaScore FalseNegatives FalsePositives Flatten FloatDTypePolicy Ftrl Functional GPTQDTypePolicy GRU "
    "GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D "
    "GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D "
    "GlobalMaxPooling3D GlorotNormal GlorotUniform GroupNormalization GroupQueryAttention HashedCrossing Hashing HeNormal HeUniform "
    "Hinge Huber Identity IdentityInitializer Initializer InputLayer InputSpec Int4DTypePolicy IntegerLookup InverseTimeDecay IoU "
    "KLDivergence L1 L1L2 L2 LSTM LSTMCell Lamb LayerNormalization LeakyReLU LearningRateSchedule LecunNormal LecunUniform Lion LogCosh "
    "LogCoshError LossScaleOptimizer Masking MaxNorm MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D "
    "MaxPooling3D Maximum Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError "
    "MeanSquaredLogarithmicError MelSpectrogram MinMaxNorm Minimum MixUp Model MultiHeadAttention MultiOptimizer Multiply Muon Nadam "
    "NonNeg Normalization OneHotIoU OneHotMeanIoU Ones OptimizerMap Orthogonal OrthogonalInitializer OrthogonalRegularizer PReLU "
    "PearsonCorrelation Permute PiecewiseConstantDecay Poisson Policy PolynomialDecay Precision PrecisionAtRecall QuantizedDTypePolicy "
    "QuantizedFloat8DTypePolicy R2Score RMSNormalization RMSprop RNN RandAugment RandomBrightness RandomColorDegeneration "
    "RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale "
    "RandomHue RandomInvert RandomNormal RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness "
    "RandomShear RandomTranslation RandomUniform RandomZoom ReLU Recall RecallAtPrecision Regularizer RepeatVector Rescaling Reshape "
    "Resizing ReversibleEmbedding RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram ScheduleFreeAdamW "
    "SensitivityAtSpecificity SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D Sequential SimpleRNN "
    "SimpleRNNCell Softmax Solarization SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D SpecificityAtSensitivity SpectralNormalization SquaredHinge StackedRNNCells "
    "StringLookup Subtract Sum TextVectorization TimeDistributed TopKCategoricalAccuracy TrueNegatives TruePositives TruncatedNormal "
    "Tversky UnitNorm UnitNormalization UpSampling1D UpSampling2D UpSampling3D VarianceScaling ZeroPadding1D ZeroPadding2D "
    "ZeroPadding3D Zeros constant glorot_normal glorot_uniform he_normal he_uniform identity l1 l1_l2 l2 lecun_normal lecun_uniform "
    "max_norm min_max_norm non_neg ones orthogonal orthogonal_regularizer random_normal random_uniform stft truncated_normal unit_norm "
    "variance_scaling zeros ";
// Losses, metrics and optimizers that go by a name.
constexpr const char* kFunctions =
    "MAE MSE acc accuracy adadelta adagrad adam adamax auc bce binary_accuracy binary_crossentropy binary_focal_crossentropy "
    "categorical_accuracy categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy "
    "categorical_hinge ce celu circle concordance_correlation cosine_similarity crossentropy ctc dice elu exponential ftrl gelu glu "
    "hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh hinge huber kl_divergence kld leaky_relu linear log_cosh log_sigmoid "
    "log_softmax loss mae mape mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error "
    "mish mse msle nadam pearson_correlation poisson relu relu6 rmsprop selu sgd sigmoid silu soft_shrink softmax softplus softsign "
    "sparse_categorical_accuracy sparse_categorical_crossentropy sparse_plus sparse_sigmoid sparse_top_k_categorical_accuracy sparsemax "
    "squared_hinge squareplus swish tanh tanh_shrink threshold top_k_categorical_accuracy tversky weighted_accuracy ";

// What `x + y`, `x[:, 0]` and keras.ops leave in a model: operations on tensors; not those that run a function (Map, Scan, Cond, WhileLoop...).
constexpr const char* kOperations =
    "Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh "
    "Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average AveragePool BatchNorm "
    "BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo "
    "CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse Clip Concatenate Conjugate Conv "
    "ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace "
    "DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot DotProductAttention Dsplit Dstack Eig Eigh Einsum "
    "ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip "
    "Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Fold Full FullLike GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual "
    "HSVToRGB HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag InTopK Inner Inv "
    "IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm Ldexp LeakyRelu LeftShift Less LessEqual Linspace Log "
    "Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp "
    "Lstsq LuFactor MapCoordinates Matmul MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot "
    "Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd "
    "Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual OneHot OnesLike Outer PSNR Pad PadImages Percentile "
    "PerspectiveTransform Pinv Polar Power Prod Ptp Qr Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Reciprocal Relu "
    "Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate Scatter ScatterUpdate "
    "SearchSorted SegmentReduction Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet "
    "SobelEdges SoftShrink Softmax Softplus Softsign Solve SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus "
    "SparseSigmoid Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan "
    "Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique UnravelIndex "
    "Unstack Vander Var Vdot View ViewAsComplex ViewAsReal Vsplit Vstack Where ZerosLike ";

constexpr std::uint64_t kKerasConfigBytesMax = 32 << 20;
constexpr std::size_t kTriesMax = 10'000'000;

bool is_known_class(std::string_view name) {
  static const auto known = words_of(kClasses), operations = words_of(kOperations);
  return known.contains(name) || operations.contains(name);
}

bool is_known_function(std::string_view name) {
  static const auto known = words_of(kFunctions);
  return known.contains(name) || is_known_class(name);
}

// What Keras writes around a value that JSON has no form for.
bool is_value_class(std::string_view name) { return name == "__keras_tensor__" || name == "__numpy__" || name == "__tuple__" || name == "__tensor__" || name == "__bytes__" || name == "__ellipsis__" || name == "__slice__" || name == "__typespec__"; }

bool is_keras_module(std::string_view module) {
  for (const char* plain : {"keras", "keras.layers", "keras.models", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.activations", "keras.optimizers", "keras.optimizers.schedules",
                            "keras.losses", "keras.metrics", "keras.dtype_policies", "keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.math", "keras.src.ops.image", "keras.src.ops.linalg", "keras.src.ops.core", "keras.src.models.functional", "keras.src.models.sequential", "keras.src.models.model", "keras.src.engine.functional"}) {
    if (module == plain) return true;
  }
  if (module.starts_with("keras.src.backend.")) return module.find(".optimizers.") != module.npos;
  return module.starts_with("keras.src.layers.") || module.starts_with("keras.src.optimizers.") || module.starts_with("keras.src.losses.") || module.starts_with("keras.src.metrics.");
}

class KerasJudge {
 public:
  KerasJudge(Scan& scan, const Place& place) : scan_(scan), place_(place) {}

  void judge(const Json& value) {
    if (value.is_object()) judge_object(value);
    if (!value.is_structured()) return;
    for (const auto& member : value) judge(member);
  }

 private:
  void tell(const char* rule, const char* severity, std::string detail) {
    if (told_.insert(detail).second && told_.size() < 100) scan_.add(place_, "keras", std::string("keras/") + rule, severity, detail);
  }

  void judge_object(const Json& value) {
    const std::string name = json_or(value, "class_name", "");
    if (value.contains("class_name")) judge_class(value, name);
    for (const char* key : {"loss", "metrics", "weighted_metrics", "optimizer"}) {
      if (const auto found = value.find(key); found != value.end()) judge_functions(*found);
    }
    // A lookup layer reads its words from the file that it names.
    if (const auto words = value.find("vocabulary"); words != value.end() && words->is_string() && !words->get<std::string>().empty()) tell("file", "high", "a layer reads a file of the machine: " + words->get<std::string>().substr(0, 100));
  }

  void judge_class(const Json& value, const std::string& name) {
    if (name.find("Lambda") != name.npos || name == "__lambda__") return tell("lambda", "critical", fmt::format("a {} layer: it runs code of the file", name));
    if (const auto module = value.find("module"); module != value.end() && !module->is_null()) {
      const std::string text = module->is_string() ? module->get<std::string>() : module->dump();
      if (!is_keras_module(text)) return tell("module", "critical", fmt::format("asks for {} of the module {}, which is not Keras", name.substr(0, 100), text.substr(0, 100)));
    }
    const std::string registered = json_or(value, "registered_name", "");
    if (!is_value_class(name) && !is_known_class(name)) return tell("custom-object", "high", fmt::format("asks for the class {}, which is not one of Keras that holds numbers alone", name.substr(0, 100)));
    if (!registered.empty() && registered != name) tell("custom-object", "high", fmt::format("asks for the registered class {}", registered.substr(0, 100)));
  }

  void judge_functions(const Json& value) {
    if (value.is_string() && !is_known_function(value.get<std::string>())) tell("custom-object", "high", fmt::format("asks for the function {}, which is not one of Keras", value.get<std::string>().substr(0, 100)));
    if (value.is_array() || (value.is_object() && !value.contains("class_name"))) {
      for (const auto& member : value) judge_functions(member);
    }
  }

  Scan& scan_;
  const Place& place_;
  std::set<std::string> told_;
};

// The JSON object that begins at a place, up to where it ends by its brackets outside of texts. Takes what it reads off `budget`; notes one that
// goes on for longer than is read.
std::optional<std::string> json_text(const RandomAccess& object, std::uint64_t begin, std::uint64_t& budget, bool& is_too_long) {
  ByteReader reader(object, begin, std::min(object.size(), begin + kKerasConfigBytesMax));
  std::string text;
  int depth = 0;
  bool is_text = false, is_escaped = false;
  while (const auto* bytes = reader.peek(1)) {
    const char c = static_cast<char>(*bytes);
    reader.advance(1);
    if (budget == 0) return std::nullopt;
    --budget;
    text += c;
    if (is_text) {
      is_text = is_escaped || c != '"';
      is_escaped = !is_escaped && c == '\\';
      if (static_cast<unsigned char>(c) < 0x20) return std::nullopt;
    } else if (c == '"') {
      is_text = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return text;
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' && c != '\r') {
      return std::nullopt;
    }
  }
  is_too_long = is_too_long || text.size() == kKerasConfigBytesMax;
  return std::nullopt;
}

// Finds the JSON objects with a class in a file of another format, wherever they stand, and whether it names a model's configuration.
class ConfigSearch {
 public:
  explicit ConfigSearch(const RandomAccess& object) : object_(object), budget_(4 * object.size() + (64ull << 20)) {}

  Status run() {
    ByteReader reader(object_);
    while (reader.left() > 0) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(32 << 10, reader.left()));
      const auto* bytes = reader.peek(count);
      if (bytes == nullptr) return reader.error() ? Status(fail(*reader.error())) : Status{};
      const auto whole = reader.at_hand(reader.offset(), count + 64);
      names_config_ = names_config_ || whole.find("model_config") != whole.npos || whole.find("training_config") != whole.npos;
      is_pytables_ = is_pytables_ || whole.find("PYTABLES_FORMAT_VERSION") != whole.npos;
      for (auto at = whole.find('{'); at < count; at = whole.find('{', at + 1)) consider(reader.offset() + at, whole.substr(at + 1, 32));
      // The end of one piece is the start of the next, so that no word is cut.
      reader.advance(count > 64 && reader.left() > count ? count - 32 : count);
    }
    return {};
  }
  bool is_pytables() const { return is_pytables_; }
  bool names_config() const { return names_config_; }
  bool has_too_many() const { return tries_ > kTriesMax || budget_ == 0; }
  bool is_unreadable() const { return is_unreadable_; }
  const std::vector<Json>& configs() const { return configs_; }

 private:
  void consider(std::uint64_t at, std::string_view behind) {
    const auto first = behind.find_first_not_of(" \t\r\n");
    if (at < next_ || (first != behind.npos && behind[first] != '"') || ++tries_ > kTriesMax || budget_ == 0) return;
    const auto text = json_text(object_, at, budget_, is_unreadable_);
    if (!text) return;
    auto json = parse_json(*text, "configuration", {.bytes_max = kKerasConfigBytesMax, .depth_max = 128});
    // Python reads more than JSON is: NaN, a key twice.
    if (!json) is_unreadable_ = is_unreadable_ || text->find("\"class_name\"") != text->npos || text->find("\\u") != text->npos;
    if (!json || !json->is_object()) return;
    next_ = at + text->size();
    if (json->contains("class_name") || json->contains("optimizer_config") || json->contains("loss")) configs_.push_back(std::move(*json));
  }

  const RandomAccess& object_;
  std::uint64_t budget_, next_ = 0;
  std::size_t tries_ = 0;
  bool names_config_ = false, is_pytables_ = false, is_unreadable_ = false;
  std::vector<Json> configs_;
};

}  // namespace

void Scan::judge_keras_config(const Json& config, const Place& place) { KerasJudge(*this, place).judge(config); }

Status Scan::look_at_hdf5(const RandomAccess& object, const Place& place) {
  if (const auto reference = TRY(find_hdf5_reference(object))) add(place, "keras", "hdf5/external-file", "critical", std::string("an HDF5 file that may have other files read: ") + reference->what, reference->offset);
  ConfigSearch search(object);
  TRY(search.run());
  bool has_model = false;
  for (const auto& config : search.configs()) {
    has_model = has_model || config.contains("class_name");
    judge_keras_config(config, place);
  }
  if (search.is_pytables()) add(place, "pickle", "hdf5/pytables", "high", "a file of PyTables, which unpickles what stands in its attributes");
  // Without the attribute's name nothing is built from the file: its weights are numbers.
  if (search.has_too_many() || search.is_unreadable() || (search.names_config() && !has_model)) add(place, "keras", "keras/unreadable", "high", "the model's configuration can't be found in the HDF5 file");
  return {};
}

}  // namespace redoubt::model_scan
