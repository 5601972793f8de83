// SPDX-License-Identifier: Apache-2.0
#include "engine/train/merge.h"

#include <map>

#include "engine/evaluate/inputs.h"
#include "engine/train/model_folder.h"

namespace redoubt::engine::train {
namespace {

Status merge_job(const job::Paths& paths) {
  c10::InferenceMode guard;
  const auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  TRY(values.expect_only({"threads"}));
  evaluate::set_threads(TRY(values.integer("threads", 0, 0, 1024)));
  const auto folder = paths.channel("model");
  if (!paths.has_channel("adapter"))
    return fail(ErrorCode::not_found, "no adapter", paths.channel("adapter").string(),
                "give a PEFT folder as the channel 'adapter'");
  // Loading the base checks that adapter and model belong together before anything is written.
  const auto base = TRY(model::CausalModel::load(folder, model::Precision::bf16));
  const auto adapter = TRY(model::Adapter::load(paths.channel("adapter"), base->config(), &base->weights(), base->digest()));
  const auto& names = base->config().names;

  std::map<std::string, std::size_t> places;
  const auto modules = adapter.modules();
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const std::string name = modules[i].path + ".weight";
    places[name] = i;
    if (name.starts_with(names.prefix)) places[name.substr(names.prefix.size())] = i;  // files of a model without its head
  }
  TRY(write_model_folder(folder, paths.model(),
                         [&](const std::string& name, const at::Tensor& stored) -> Result<std::optional<at::Tensor>> {
                           const auto found = places.find(name);
                           if (found == places.end()) return std::optional<at::Tensor>();
                           const auto merged = adapter.merge(found->second, names.transposed ? stored.t() : stored);
                           return std::optional<at::Tensor>(names.transposed ? merged.t() : merged);
                         }));
  job::EventWriter().write("result", {{"merged", modules.size()}});
  return {};
}

}  // namespace

Status run_merge(const std::filesystem::path& root) {
  const job::Paths paths{root};
  auto status = merge_job(paths);
  if (!status) (void)job::write_failure(paths, status.error());
  return status;
}

}  // namespace redoubt::engine::train
