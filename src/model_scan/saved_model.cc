// SPDX-License-Identifier: Apache-2.0
//
// TensorFlow's SavedModel (saved_model.proto): the operators of its graphs and functions against those that compute.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "model_scan/protobuf.h"
#include "model_scan/scan.h"
#include "model_scan/word_list.h"

namespace redoubt::model_scan {
namespace {

constexpr std::uint64_t kSavedTextMax = 4096, kPackedBytesMax = 16 << 20;

// What inference, training and saving need. Of what touches files only the saver's own operators are among them, and those follow
// the path that the loading program gives.
constexpr const char* kOperators =
    "Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Assert Assign AssignAddVariableOp AssignSubVariableOp AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D AvgPoolGrad "
    "BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpace BatchToSpaceND BiasAdd BiasAddGrad Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo "
    "Bucketize Case Cast Ceil CheckNumerics Cholesky ClipByValue CombinedNonMaxSuppression Complex ComplexAbs Concat ConcatOffset ConcatV2 Const Conv2D Conv2DBackpropFilter "
    "Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh CropAndResize Cross CudnnRNN CudnnRNNV3 Cumprod Cumsum CumulativeLogsumexp DataFormatDimMap DataFormatVecPermute DenseBincount "
    "DepthToSpace DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Dequantize Diag DiagPart Digamma Dilation2D Div DivNoNan DynamicPartition "
    "DynamicStitch Einsum Elu EluGrad Empty EmptyTensorList EnsureShape Enter Equal Erf Erfc Erfinv EuclideanNorm Exit Exp ExpandDims Expm1 FFT FFT2D FakeQuantWithMinMaxArgs "
    "FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormGradV3 FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 "
    "Greater GreaterEqual HashTable HashTableV2 HistogramFixedWidth IFFT IRFFT Identity IdentityN If Imag InTopKV2 InvertPermutation IsFinite IsInf IsNan IsVariableInitialized L2Loss LRN "
    "LeakyRelu LeakyReluGrad LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LookupTableExportV2 LookupTableFindV2 LookupTableImportV2 "
    "LookupTableInsertV2 LookupTableSizeV2 LoopCond LowerBound MatMul MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPartV3 MatrixDiagV3 MatrixInverse MatrixSetDiagV3 MatrixSolve "
    "MatrixTriangularSolve Max MaxPool MaxPool3D MaxPoolGrad MaxPoolV2 MaxPoolWithArgmax Maximum Mean Merge MergeV2Checkpoints Min Minimum MirrorPad Mod Mul MulNoNan Multinomial MutableDenseHashTableV2 "
    "MutableHashTableV2 Neg NextIteration NoOp NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual OneHot OnesLike Pack Pad PadV2 "
    "ParallelConcat ParseExample ParseExampleV2 ParseSingleExample PartitionedCall Placeholder PlaceholderV2 PlaceholderWithDefault Polygamma Pow PreventGradient Prod Qr QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 "
    "QuantizeAndDequantizeV4 QuantizeV2 RFFT RFFT2D RGBToHSV RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant RandomNormal "
    "RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt Range Rank ReadVariableOp Real RealDiv Reciprocal RefEnter RefExit RefMerge RefSwitch RegexFullMatch RegexReplace Relu "
    "Relu6 Relu6Grad ReluGrad Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterNdUpdate ResourceScatterUpdate "
    "RestoreV2 Reverse ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt RsqrtGrad SaveV2 ScalarSummary ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select SelectV2 Selu "
    "SeluGrad Shape ShapeN ShardedFilename Sigmoid SigmoidGrad Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign SpaceToBatch SpaceToBatchND SpaceToDepth "
    "SparseConcat SparseCross SparseFillEmptyRows SparseReorder SparseReshape SparseSegmentMean SparseSegmentSqrtN SparseSegmentSum SparseSlice SparseSoftmaxCrossEntropyWithLogits SparseTensorDenseMatMul "
    "SparseToDense Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze StatefulPartitionedCall StatelessCase StatelessIf StatelessRandomGetAlg StatelessRandomGetKeyCounter "
    "StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessTruncatedNormal StatelessTruncatedNormalV2 StatelessWhile StaticRegexFullMatch "
    "StaticRegexReplace StopGradient StridedSlice StridedSliceGrad StringFormat StringJoin StringLength StringLower StringSplit StringSplitV2 StringStrip StringToHashBucketFast StringToHashBucketStrong "
    "StringToNumber StringUpper Sub Substr Sum Svd Switch Tan Tanh TanhGrad TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 "
    "TensorArrayV3 TensorArrayWriteV3 TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve "
    "TensorListResize TensorListSetItem TensorListStack TensorScatterAdd TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncateMod TruncatedNormal UnicodeDecodeWithOffsets UnicodeEncode Unique "
    "UniqueV2 UniqueWithCounts Unpack UnravelIndex UnsortedSegmentMax UnsortedSegmentMean UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound VarHandleOp VarIsInitializedOp Variable VariableShape VariableV2 "
    "Where While Xdivy Xlogy ZerosLike Zeta _FusedBatchNormEx _FusedConv2D _FusedMatMul";

// Reads or writes files, or runs code of the host, whoever names the path.
bool does_harm(std::string_view op) {
  for (const char* word : {"ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "File", "Save", "Restore", "Print", "DebugIdentity", "Reader", "Dataset", "Rpc", "Socket", "BigQuery", "Decode"}) {
    if (op.find(word) != op.npos) return true;
  }
  return false;
}

class SavedModel {
 public:
  SavedModel(Scan& scan, const RandomAccess& object, const Place& place) : scan_(scan), object_(object), place_(place) {}

  Status run() {
    TRY(messages(0, object_.size(), 2, [&](const ProtobufField& graph) { return meta_graph(graph); }));
    if (nodes_ == 0) malformed(0);
    if (path_at_ && saves_) scan_.add(place_, "tensorflow", "tensorflow/fixed-path", "critical", "the graph saves or restores, and holds the path of a file of the machine", *path_at_);
    return {};
  }

 private:
  void malformed(std::uint64_t offset) {
    if (!std::exchange(is_malformed_, true)) scan_.add(place_, "malformed", "tensorflow/malformed", "high", "not a SavedModel that can be read to its end", std::min(offset, object_.size()));
  }

  // Calls `each` for the sub-messages of one number.
  template <class Each>
  Status messages(std::uint64_t begin, std::uint64_t bytes, std::uint64_t number, Each each) {
    ProtobufReader reader(object_, begin, bytes);
    while (const auto field = reader.next()) {
      if (field->number == number && field->wire == ProtobufReader::kBytes) TRY(each(*field));
    }
    if (reader.error()) return fail(*reader.error());
    if (reader.is_broken()) malformed(reader.offset());
    return {};
  }

  Status meta_graph(const ProtobufField& meta) {
    return messages(meta.begin, meta.bytes, 2, [&](const ProtobufField& graph) -> Status {
      TRY(messages(graph.begin, graph.bytes, 1, [&](const ProtobufField& node) { return this->node(node); }));
      return messages(graph.begin, graph.bytes, 2, [&](const ProtobufField& library) -> Status {
        TRY(messages(library.begin, library.bytes, 1, [&](const ProtobufField& function) { return note_name(function); }));
        return messages(library.begin, library.bytes, 1, [&](const ProtobufField& function) {
          return messages(function.begin, function.bytes, 3, [&](const ProtobufField& node) { return this->node(node); });
        });
      });
    });
  }

  // A function of the file may be called as an operator by its name.
  Status note_name(const ProtobufField& function) {
    return messages(function.begin, function.bytes, 1, [&](const ProtobufField& signature) {
      return messages(signature.begin, signature.bytes, 1, [&](const ProtobufField& name) -> Status {
        own_.insert(TRY(text(name)));
        return {};
      });
    });
  }

  Result<std::string> text(const ProtobufField& field) {
    Bytes bytes(static_cast<std::size_t>(std::min(field.bytes, kSavedTextMax)));
    TRY(object_.read_at(field.begin, bytes));
    return to_text(bytes);
  }

  Status node(const ProtobufField& node) {
    static const auto known = words_of(kOperators);
    ++nodes_;
    std::string op;
    TRY(messages(node.begin, node.bytes, 2, [&](const ProtobufField& field) -> Status {
      op = TRY(text(field));
      return {};
    }));
    if (op == "Const") return constant(node);
    saves_ = saves_ || op == "SaveV2" || op == "RestoreV2";
    if (known.contains(op) || own_.contains(op) || told_.size() > 100 || !told_.insert(op).second) return {};
    const bool is_harmful = does_harm(op);
    scan_.add(place_, "tensorflow", is_harmful ? "tensorflow/operator" : "tensorflow/unknown-operator", is_harmful ? "critical" : "high",
              fmt::format("the operator {} {}", op.substr(0, 100), is_harmful ? "reaches files, devices or code of the machine" : "is not on the list of those that compute"), node.begin);
    return {};
  }

  // Whether a constant is a text that is a path from the root, or out of a folder: NodeDef.attr[].value.tensor.string_val.
  Status constant(const ProtobufField& node) {
    return messages(node.begin, node.bytes, 5, [&](const ProtobufField& attribute) {
      return messages(attribute.begin, attribute.bytes, 2, [&](const ProtobufField& value) {
        return messages(value.begin, value.bytes, 8, [&](const ProtobufField& tensor) -> Status {
          TRY(packed_text(tensor));
          return messages(tensor.begin, tensor.bytes, 8, [&](const ProtobufField& item) -> Status {
            note_path(TRY(text(item)), item.begin);
            return {};
          });
        });
      });
    });
  }

  void note_path(std::string_view found, std::uint64_t at) {
    if (!path_at_ && (found.starts_with("/") || found.starts_with("~") || found.find("../") != found.npos || found.find("://") != found.npos)) path_at_ = at;
  }

  // Texts may also stand packed in tensor_content: the lengths of all, then their letters.
  Status packed_text(const ProtobufField& tensor) {
    constexpr std::uint64_t kString = 7;
    bool is_text = false;
    TRY(each_field(tensor, [&](const ProtobufField& field) { is_text = is_text || (field.number == 1 && field.wire == ProtobufReader::kVarint && field.value == kString); }));
    if (!is_text) return {};
    return messages(tensor.begin, tensor.bytes, 4, [&](const ProtobufField& content) -> Status {
      if (content.bytes > kPackedBytesMax) {
        malformed(content.begin);
        return {};
      }
      Bytes packed(static_cast<std::size_t>(content.bytes));
      TRY(object_.read_at(content.begin, packed));
      note_packed(packed, content.begin);
      return {};
    });
  }

  // There are as many lengths as make the rest the letters.
  void note_packed(ByteView packed, std::uint64_t begin) {
    std::vector<std::uint64_t> lengths;
    std::uint64_t sum = 0, length = 0;
    unsigned shift = 0;
    std::size_t at = 0;
    while (at < packed.size() && sum <= packed.size() && (shift > 0 || sum != packed.size() - at)) {
      length |= static_cast<std::uint64_t>(packed[at] & 0x7f) << shift;
      shift = packed[at++] < 0x80 || shift >= 56 ? 0 : shift + 7;
      if (shift > 0) continue;
      lengths.push_back(length);
      sum += std::exchange(length, 0);
    }
    if (sum != packed.size() - at) return malformed(begin);
    for (const std::uint64_t bytes : lengths) {
      note_path(text_of(packed).substr(at, static_cast<std::size_t>(bytes)), begin + at);
      at += static_cast<std::size_t>(bytes);
    }
  }

  template <class Each>
  Status each_field(const ProtobufField& message, Each each) {
    ProtobufReader reader(object_, message.begin, message.bytes);
    while (const auto field = reader.next()) each(*field);
    return reader.error() ? Status(fail(*reader.error())) : Status{};
  }

  Scan& scan_;
  const RandomAccess& object_;
  const Place& place_;
  std::set<std::string, std::less<>> own_, told_;
  std::optional<std::uint64_t> path_at_;
  std::uint64_t nodes_ = 0;
  bool saves_ = false, is_malformed_ = false;
};

}  // namespace

// keras_metadata.pb holds the layers as JSON texts, as HDF5 files do.
Status Scan::look_at_saved_model(const RandomAccess& object, const Place& place) {
  return place.name().ends_with("keras_metadata.pb") ? look_at_hdf5(object, place) : SavedModel(*this, object, place).run();
}

}  // namespace redoubt::model_scan
