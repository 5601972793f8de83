// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/job_staging.h"

#include "base/file.h"
#include "provider/aws/job_archive.h"
#include "provider/aws/training_job.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kUnfinished = ".tmp";

Status remove_keys(ObjectStore& store, const std::vector<std::string>& keys) {
  Status first;
  for (const std::string& key : keys) {
    Status removed = store.remove(key);
    if (!removed && removed.error().code != ErrorCode::not_found && first) first = std::move(removed);
  }
  return first;
}

}  // namespace

Status JobStaging::send_files(const std::string& prefix, const std::vector<JobFile>& files) {
  for (const JobFile& file : files) {
    const auto contents = TRY(file.open());
    RandomAccessSource source(*contents);
    TRY(store_.put(prefix + file.path, source, PutMode::replace));
  }
  return {};
}

Status JobStaging::send(const JobSpec& spec) {
  for (const auto& [name, files] : spec.channels) TRY(send_files(inputs_of(job_) + name + "/", files));
  return send_files(checkpoints_of(job_), spec.checkpoints);
}

void JobStaging::skip_checkpoints(const std::vector<JobFile>& given) {
  for (const JobFile& file : given) handed_over_.insert(file.path.substr(0, file.path.find('/')));
}

Result<std::map<std::string, std::map<std::string, std::uint64_t>>> JobStaging::list_checkpoints() {
  std::map<std::string, std::map<std::string, std::uint64_t>> found;
  const std::string prefix = checkpoints_of(job_);
  for (const std::string& key : TRY(store_.list(prefix))) {
    const std::string path = key.substr(prefix.size());
    const auto slash = path.find('/');
    const std::string name = path.substr(0, slash);
    if (slash == path.npos || name.ends_with(kUnfinished) || handed_over_.contains(name)) continue;
    const auto file = store_.open(key);
    if (!file && file.error().code == ErrorCode::not_found) continue;  // the job removed an old one while we looked
    if (!file) return fail(file.error());
    found[name][path.substr(slash + 1)] = (*file)->size();
  }
  return found;
}

Status JobStaging::hand_over_checkpoints(JobHandler& handler, std::chrono::milliseconds settle, Now now) {
  for (auto& [name, files] : TRY(list_checkpoints())) {
    Seen& seen = seen_[name];
    if (seen.files != files) seen = {files, now};
    if (now - seen.since < settle) continue;
    std::vector<JobFile> handed;
    for (const auto& [path, size] : files) {
      handed.push_back({path, [&store = store_, key = checkpoints_of(job_) + name + "/" + path] { return store.open(key); }});
    }
    TRY(handler.on_checkpoint(name, handed));
    handed_over_.insert(name);
    seen_.erase(name);
  }
  return {};
}

Result<std::vector<JobFile>> JobStaging::unpack_output(const std::string& name, std::uint64_t bytes_max) {
  const std::string key = outputs_of(job_) + job_ + "/output/" + name;
  const auto archive = store_.open(key);
  if (!archive && archive.error().code == ErrorCode::not_found) return std::vector<JobFile>();
  if (!archive) return fail(archive.error());
  RandomAccessSource source(**archive);
  return unpack_archive(source, key, {.bytes_max = bytes_max});
}

Result<bool> JobStaging::has_outputs() { return !TRY(store_.list(outputs_of(job_))).empty(); }

Status JobStaging::remove() { return remove_keys(store_, TRY(store_.list("jobs/" + job_ + "/"))); }

Status remove_other_attempts(ObjectStore& store, const std::string& family, const std::string& job) {
  std::vector<std::string> keys = TRY(store.list("jobs/" + family + "-"));
  std::erase_if(keys, [&](const std::string& key) { return key.starts_with("jobs/" + job + "/"); });
  return remove_keys(store, keys);
}

}  // namespace redoubt::provider::aws
