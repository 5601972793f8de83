// SPDX-License-Identifier: Apache-2.0
#include "engine/train/checkpoint.h"

#include <charconv>
#include <map>

#include "base/file.h"
#include "engine/model/tensor_file.h"

namespace redoubt::engine::train {
namespace {

constexpr int kVersion = 1;
constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::size_t kStateBytesMax = 4ull << 30;  // it holds the events of all steps

// The steps of the checkpoints in a folder, by name; half-written ones (.tmp) are left out.
Result<std::map<std::int64_t, std::filesystem::path>> checkpoints_in(const std::filesystem::path& folder) {
  std::map<std::int64_t, std::filesystem::path> found;
  if (!std::filesystem::exists(folder)) return found;
  for (const auto& name : TRY(list_folder(folder))) {
    if (!name.starts_with(kPrefix)) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
    if (error == std::errc{} && stop == end) found[step] = folder / name;
  }
  return found;
}

// All but the tensors.
Result<RunState> read_state(const std::filesystem::path& folder) {
  const std::string where = (folder / "state.json").string();
  return parse_state(TRY(parse_json(TRY(read_text_file(folder / "state.json", kStateBytesMax)), where, {.bytes_max = kStateBytesMax})), where);
}

Result<RunState> read_checkpoint(const std::filesystem::path& folder) {
  auto state = TRY(read_state(folder));
  auto file = TRY(weights::SafetensorsFile::open(TRY(FileReader::open(folder / "state.safetensors")),
                                                 (folder / "state.safetensors").string()));
  const auto read = [&](const char* name) -> Result<at::Tensor> { return model::read_tensor(file, *TRY(file.find(name))); };
  state.values = TRY(read("values"));
  state.first_moment = TRY(read("first_moment"));
  state.second_moment = TRY(read("second_moment"));
  if (state.best_loss) state.best_values = TRY(read("best_values"));
  for (const auto& tensor :
       {state.values, state.first_moment, state.second_moment, state.best_loss ? state.best_values : state.values})
    if (tensor.dim() != 1 || tensor.scalar_type() != at::kFloat || tensor.numel() != state.values.numel())
      return fail(ErrorCode::invalid_argument, "the checkpoint's tensors do not fit each other", file.where());
  return state;
}

}  // namespace

Json to_json(const RunState& s) {
  return {{"version", kVersion},
          {"identity", s.identity},
          {"now", s.now ? Json(*s.now) : Json()},
          {"step", s.step},
          {"epochs_evaluated", s.epochs_evaluated},
          {"epochs_since_best", s.epochs_since_best},
          {"best_loss", s.best_loss ? Json(*s.best_loss) : Json()},
          {"best_epoch", s.best_epoch},
          {"metrics", s.metrics}};
}

Result<RunState> parse_state(const Json& json, const std::string& where) {
  if (TRY(json_integer(json, "version", where)) != kVersion)
    return fail(ErrorCode::unsupported, "a checkpoint of another version", where);
  RunState s;
  s.identity = TRY(json_object(json, "identity", where));
  if (json.contains("now") && !json["now"].is_null()) s.now = TRY(json_integer(json, "now", where));
  s.step = TRY(json_integer(json, "step", where));
  s.epochs_evaluated = TRY(json_integer(json, "epochs_evaluated", where));
  s.epochs_since_best = TRY(json_integer(json, "epochs_since_best", where));
  s.best_epoch = TRY(json_integer(json, "best_epoch", where));
  s.metrics = TRY(json_array(json, "metrics", where));
  if (json.contains("best_loss") && !json["best_loss"].is_null()) s.best_loss = TRY(json_number(json, "best_loss", where));
  return s;
}

Status write_checkpoint(const std::filesystem::path& folder, const RunState& state) {
  TRY(make_folder(folder));
  const auto older = TRY(checkpoints_in(folder));
  const auto place = folder / (std::string(kPrefix) + std::to_string(state.step));
  const auto temporary = std::filesystem::path(place.string() + ".tmp");
  std::error_code error;
  std::filesystem::remove_all(temporary, error);
  TRY(make_folder(temporary));
  std::map<std::string, at::Tensor> tensors = {
      {"values", state.values}, {"first_moment", state.first_moment}, {"second_moment", state.second_moment}};
  if (state.best_values.defined()) tensors["best_values"] = state.best_values;
  TRY(model::write_tensors(temporary / "state.safetensors", tensors, {}));
  TRY(write_file(temporary / "state.json", dump_json(to_json(state))));
  TRY(sync_folder(temporary));
  std::filesystem::remove_all(place, error);
  std::filesystem::rename(temporary, place, error);
  if (error) return fail_errno(error.value(), "putting the checkpoint in place", place.string());
  TRY(sync_folder(folder));
  for (const auto& [step, path] : older)
    if (step < state.step) std::filesystem::remove_all(path, error);
  return {};
}

Result<std::optional<std::int64_t>> read_start(const std::filesystem::path& folder) {
  const auto found = TRY(checkpoints_in(folder));
  const auto state = found.empty() ? Result<RunState>(RunState()) : read_state(found.rbegin()->second);
  return state ? state->now : std::nullopt;  // one that does not read is told of when the run goes on from it
}

Result<std::optional<RunState>> read_newest_checkpoint(const std::filesystem::path& folder) {
  c10::InferenceMode guard;
  const auto found = TRY(checkpoints_in(folder));
  if (found.empty()) return std::optional<RunState>();
  auto state = read_checkpoint(found.rbegin()->second);
  if (state) return std::optional<RunState>(std::move(*state));
  auto error = state.error();
  if (error.hint.empty()) error.hint = "remove the folder " + found.rbegin()->second.filename().string() + " to begin anew";
  return fail(std::move(error));
}

}  // namespace redoubt::engine::train
