// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/job_staging.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "provider/aws/job_archive.h"
#include "provider/aws/training_job.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kUnfinished = ".tmp";

// A model takes minutes to send, and nobody waits that long after Ctrl-C.
class InterruptibleSource final : public Source {
 public:
  InterruptibleSource(const RandomAccess& object, const std::function<bool()>& is_interrupted) : source_(object), is_interrupted_(is_interrupted) {}
  Result<std::size_t> read(MutableByteView into) override {
    if (is_interrupted_()) return fail(ErrorCode::unavailable, "interrupted before the training job was started");
    return source_.read(into);
  }

 private:
  RandomAccessSource source_;
  const std::function<bool()>& is_interrupted_;
};

// 40 of "checkpoint-40"; 0 where there is none.
std::uint64_t checkpoint_number(const std::string& name) {
  const auto last = name.find_last_not_of("0123456789");
  const std::size_t start = last == name.npos ? 0 : last + 1;
  std::uint64_t number = 0;
  (void)std::from_chars(name.data() + start, name.data() + name.size(), number);
  return number;
}

Status remove_keys(ObjectStore& store, const std::vector<std::string>& keys) {
  Status first;
  for (const std::string& key : keys) {
    Status removed = store.remove(key);
    if (!removed && removed.error().code != ErrorCode::not_found && first) first = std::move(removed);
  }
  return first;
}

}  // namespace

Status JobStaging::send_files(const std::string& prefix, const std::vector<JobFile>& files, const std::function<bool()>& is_interrupted) {
  for (const JobFile& file : files) {
    const auto contents = TRY(file.open());
    InterruptibleSource source(*contents, is_interrupted);
    TRY(store_.put(prefix + file.path, source, PutMode::replace));
  }
  return {};
}

Status JobStaging::send(const JobSpec& spec, const std::function<bool()>& is_interrupted) {
  for (const auto& [name, files] : spec.channels) TRY(send_files(inputs_of(job_) + name + "/", files, is_interrupted));
  return send_files(checkpoints_of(job_), spec.checkpoints, is_interrupted);
}

void JobStaging::skip_checkpoints(const std::vector<JobFile>& given) {
  for (const JobFile& file : given) {
    const std::string name = file.path.substr(0, file.path.find('/'));
    handed_over_.insert(name);
    given_ = std::max(given_, checkpoint_number(name));
  }
}

Result<std::map<std::string, std::map<std::string, std::uint64_t>>> JobStaging::list_checkpoints() {
  std::map<std::string, std::map<std::string, std::uint64_t>> found;
  const std::string prefix = checkpoints_of(job_);
  for (const std::string& key : TRY(store_.list(prefix))) {
    const std::string path = key.substr(prefix.size());
    const auto slash = path.find('/');
    const std::string name = path.substr(0, slash);
    if (slash == path.npos || name.ends_with(kUnfinished) || handed_over_.contains(name)) continue;
    if (const auto number = checkpoint_number(name); number != 0 && number <= given_) continue;
    const auto file = store_.open(key);
    if (!file && file.error().code == ErrorCode::not_found) continue;  // the job removed an old one while we looked
    if (!file) return fail(file.error());
    found[name][path.substr(slash + 1)] = (*file)->size();
  }
  return found;
}

Status JobStaging::hand_over_checkpoints(JobHandler& handler, std::chrono::milliseconds settle, Now now) {
  const auto found = TRY(list_checkpoints());
  std::vector<std::string> names;
  for (const auto& [name, files] : found) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) { return checkpoint_number(a) < checkpoint_number(b); });
  for (const std::string& name : names) {
    const auto& files = found.at(name);
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

Status JobStaging::remove_but_outputs() {
  std::vector<std::string> keys = TRY(store_.list("jobs/" + job_ + "/"));
  std::erase_if(keys, [&](const std::string& key) { return key.starts_with(outputs_of(job_)); });
  return remove_keys(store_, keys);
}

Status remove_other_attempts(ObjectStore& store, const std::string& family, const std::string& job) {
  std::vector<std::string> keys = TRY(store.list("jobs/" + family + "-"));
  std::erase_if(keys, [&](const std::string& key) { return key.starts_with("jobs/" + job + "/"); });
  return remove_keys(store, keys);
}

}  // namespace redoubt::provider::aws
