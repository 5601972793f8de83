// SPDX-License-Identifier: Apache-2.0
#include "engine/data/example_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "base/write_all.h"
#include "crypto/hash.h"

namespace redoubt::engine::data {
namespace {

constexpr std::size_t kBufferBytes = 1 << 20;

// A record is these numbers, then begin and end of each span, then the tokens; the file is read by the process that wrote it.
enum Header : std::size_t { kAnswerStart, kLine, kFile, kWords, kBytes, kTruncated, kSpans, kHeader };
using Numbers = std::array<std::int64_t, kHeader>;

ByteView bytes_of(const auto& values) { return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof values[0]}; }
MutableByteView bytes_into(auto& values) { return {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * sizeof values[0]}; }

void count(const Example& example, ExampleCounts& counts) {
  const auto tokens = std::ssize(example.ids);
  counts.tokens += tokens;
  counts.truncated += example.truncated ? 1 : 0;
  counts.longest = std::max<std::int64_t>(counts.longest, tokens);
}

void hash(const Example& example, crypto::Sha256& sum) {
  const std::array<std::int64_t, 3> sizes = {std::ssize(example.ids), example.answer_start, std::ssize(example.counted)};
  sum.update(bytes_of(sizes)).update(bytes_of(example.counted)).update(bytes_of(example.ids));
}

tl::unexpected<Error> cannot(const char* what) {
  const int error = errno;
  const bool full = error == ENOSPC || error == EDQUOT;
  return fail(full ? ErrorCode::limit_exceeded : ErrorCode::unavailable, std::string("cannot ") + what + " the tokenised examples", std::strerror(error),
              full ? "the job's folder has no room for them: give it more, or fewer rows" : "");
}

Result<Fd> nameless_file(const std::filesystem::path& folder) {
  Fd file(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  // Some file systems know no files without a name.
  std::string name = (folder / ".examples-XXXXXX").string();
  file = Fd(mkostemp(name.data(), O_CLOEXEC));
  if (!file) return cannot("make a file for");
  unlink(name.c_str());
  return file;
}

Status read_all(int file, std::uint64_t offset, MutableByteView into) {
  while (!into.empty()) {
    const auto count = pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;
    if (count <= 0) return cannot("read");
    offset += static_cast<std::uint64_t>(count);
    into = into.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace

struct Examples::State {
  struct Entry {
    std::uint64_t offset = 0;
    std::uint32_t tokens = 0, spans = 0;
  };
  std::vector<Example> memory;
  Fd file;
  std::vector<std::shared_ptr<const std::string>> files;  // that the examples come out of, where there are several
  std::vector<Entry> index;
  ExampleCounts counts;
  std::string digest;
};

Examples::Examples() : Examples(std::vector<Example>()) {}

Examples::Examples(std::vector<Example> examples) {
  auto state = std::make_shared<State>();
  crypto::Sha256 sum;
  for (const auto& example : examples) {
    count(example, state->counts);
    hash(example, sum);
  }
  state->memory = std::move(examples);
  state->digest = sum.finish().hex();
  state_ = std::move(state);
}

std::size_t Examples::size() const { return state_->file ? state_->index.size() : state_->memory.size(); }

std::int64_t Examples::tokens(std::size_t index) const {
  return state_->file ? static_cast<std::int64_t>(state_->index[index].tokens) : std::ssize(state_->memory[index].ids);
}

Result<Example> Examples::read(std::size_t index) const {
  if (!state_->file) return state_->memory[index];
  const auto& entry = state_->index[index];
  Numbers numbers{};
  Example example;
  example.counted.resize(entry.spans);
  example.ids.resize(entry.tokens);
  std::uint64_t offset = entry.offset;
  for (const auto part : {bytes_into(numbers), bytes_into(example.counted), bytes_into(example.ids)}) {
    TRY(read_all(state_->file.get(), offset, part));
    offset += part.size();
  }
  example.answer_start = static_cast<std::int32_t>(numbers[kAnswerStart]);
  example.source_line = static_cast<std::size_t>(numbers[kLine]);
  if (numbers[kFile] > 0) example.source_file = state_->files[static_cast<std::size_t>(numbers[kFile]) - 1];
  example.answer_words = static_cast<std::size_t>(numbers[kWords]);
  example.answer_bytes = static_cast<std::size_t>(numbers[kBytes]);
  example.truncated = numbers[kTruncated] != 0;
  return example;
}

const ExampleCounts& Examples::counts() const { return state_->counts; }
const std::string& Examples::digest() const { return state_->digest; }

struct ExampleWriter::Open {
  std::shared_ptr<Examples::State> state = std::make_shared<Examples::State>();
  crypto::Sha256 sum;
  Bytes pending;
  std::uint64_t written = 0;

  void put(ByteView bytes) { pending.insert(pending.end(), bytes.begin(), bytes.end()); }
  Status flush() {
    if (!write_all(state->file.get(), pending)) return cannot("write");
    written += pending.size();
    pending.clear();
    return {};
  }
};

ExampleWriter::ExampleWriter(std::unique_ptr<Open> open) : open_(std::move(open)) {}
ExampleWriter::ExampleWriter(ExampleWriter&&) noexcept = default;
ExampleWriter::~ExampleWriter() = default;

Result<ExampleWriter> ExampleWriter::create(const std::filesystem::path& folder) {
  auto open = std::make_unique<Open>();
  open->state->file = TRY(nameless_file(folder));
  return ExampleWriter(std::move(open));
}

Status ExampleWriter::add(const Example& example) {
  auto& state = *open_->state;
  state.index.push_back({open_->written + open_->pending.size(), static_cast<std::uint32_t>(example.ids.size()), static_cast<std::uint32_t>(example.counted.size())});
  if (example.source_file && (state.files.empty() || *state.files.back() != *example.source_file)) state.files.push_back(example.source_file);
  const Numbers numbers = {example.answer_start, static_cast<std::int64_t>(example.source_line),
                           example.source_file ? std::ssize(state.files) : 0, static_cast<std::int64_t>(example.answer_words),
                           static_cast<std::int64_t>(example.answer_bytes), example.truncated ? 1 : 0, std::ssize(example.counted)};
  open_->put(bytes_of(numbers));
  open_->put(bytes_of(example.counted));
  open_->put(bytes_of(example.ids));
  count(example, state.counts);
  hash(example, open_->sum);
  return open_->pending.size() >= kBufferBytes ? open_->flush() : Status();
}

void ExampleWriter::count_dropped() { ++open_->state->counts.dropped; }
void ExampleWriter::count_window() { ++open_->state->counts.windows; }
std::size_t ExampleWriter::size() const { return open_->state->index.size(); }

Result<Examples> ExampleWriter::finish() {
  TRY(open_->flush());
  open_->state->digest = open_->sum.finish().hex();
  open_->state->index.shrink_to_fit();
  return Examples(std::shared_ptr<const Examples::State>(open_->state));
}

}  // namespace redoubt::engine::data
