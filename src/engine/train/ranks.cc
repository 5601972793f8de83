// SPDX-License-Identifier: Apache-2.0
#include "engine/train/ranks.h"

#include <cstring>

#include "crypto/hash.h"

namespace redoubt::engine::train {
namespace {

MutableByteView bytes_to_fill(at::Tensor& tensor) {
  return {static_cast<std::uint8_t*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

}  // namespace

std::string difference(const Json& one, const Json& other) {
  for (const auto& [key, value] : one.items()) {
    if (!other.is_object() || !other.contains(key)) return key;
    if (value == other[key]) continue;
    return value.is_object() ? key + "." + difference(value, other[key]) : key;
  }
  return "more members";
}

Status check_agreement(distributed::Group& group, const Json& identity) {
  const auto texts = TRY(group.gather(dump_json(identity)));
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] == texts[0]) continue;
    const Json leader = TRY(parse_json(texts[0], group.name_of(0))), own = TRY(parse_json(texts[rank], group.name_of(rank)));
    return fail(
        ErrorCode::invalid_argument,
        group.name_of(rank) + " and " + group.name_of(0) + " do not train the same: " + difference(leader, own) + " differs",
        "", "give all ranks the same hyperparameters, model and data");
  }
  return {};
}

Result<std::optional<RunState>> read_for_all(distributed::Group& group, const std::filesystem::path& folder) {
  if (group.ranks() == 1) return read_newest_checkpoint(folder);
  std::optional<RunState> state;
  std::string text;
  if (group.leads()) {
    state = TRY(read_newest_checkpoint(folder));
    if (!state) {
      TRY(group.gather(""));
      return std::optional<RunState>();
    }
    text = dump_json({{"state", to_json(*state)}, {"values", state->values.numel()}});
  }
  text = TRY(group.gather(text)).front();
  if (text.empty()) return std::optional<RunState>();
  const Json json = TRY(parse_json(text, "the leader's checkpoint", {.bytes_max = text.size()}));
  const auto size = TRY(json_integer(json, "values", "the leader's checkpoint"));
  if (!state) {
    state = TRY(parse_state(json["state"], "the leader's checkpoint"));
    for (auto* tensor : {&state->values, &state->first_moment, &state->second_moment})
      *tensor = at::empty({size}, at::kFloat);
    if (state->best_loss) state->best_values = at::empty({size}, at::kFloat);
  }
  for (auto* tensor : {&state->values, &state->first_moment, &state->second_moment, &state->best_values})
    if (tensor->defined()) TRY(group.take_from_leader(bytes_to_fill(*tensor)));
  return state;
}

Status gather_scores(distributed::Group& group, std::vector<evaluate::ExampleScore>& scores) {
  static_assert(std::is_trivially_copyable_v<evaluate::ExampleScore>);
  const std::size_t bytes = scores.size() * sizeof(evaluate::ExampleScore);
  const auto parts = TRY(group.gather({reinterpret_cast<const char*>(scores.data()), bytes}));
  for (const auto& part : parts) {
    if (part.size() != bytes) return fail(ErrorCode::internal, "a rank sent the scores of other examples");
    for (std::size_t i = 0; i < scores.size(); ++i) {
      evaluate::ExampleScore score;
      std::memcpy(&score, part.data() + i * sizeof score, sizeof score);
      if (score.tokens > 0) scores[i] = score;
    }
  }
  return {};
}

Status check_equal_values(distributed::Group& group, const at::Tensor& values) {
  const ByteView bytes(static_cast<const std::uint8_t*>(values.const_data_ptr()), values.nbytes());
  const auto digests = TRY(group.gather(group.ranks() > 1 ? crypto::sha256(bytes).hex() : ""));
  for (std::size_t rank = 1; rank < digests.size(); ++rank)
    if (digests[rank] != digests[0])
      return fail(ErrorCode::unsupported,
                  group.name_of(rank) + " and " + group.name_of(0) + " no longer hold the same values", "",
                  "use machines with processors of one kind");
  return {};
}

}  // namespace redoubt::engine::train
