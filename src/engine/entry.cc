// SPDX-License-Identifier: Apache-2.0
#include "engine/entry.h"

#include <malloc.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/terminal.h"
#include "engine/drift/entry.h"
#include "engine/evaluate/entry.h"
#include "engine/generate/entry.h"
#include "engine/job/job.h"
#include "engine/serve/entry.h"
#include "engine/torch.h"
#include "engine/train/entry.h"
#include "engine/train/merge.h"

namespace redoubt::engine {
namespace {

struct EntryPoint {
  std::string_view name;
  Status (*run)(const std::filesystem::path& root);
  const char* does;
};

constexpr EntryPoint kEntryPoints[] = {
    {"train", train::run_train, "fine-tune the channel 'model' on the channel 'train'"},
    {"merge", train::run_merge, "write the channels 'model' and 'adapter' as one model"},
    {"evaluate", evaluate::run_evaluate, "score the channel 'eval'"},
    {"generate", generate::run_generate, "answer one prompt"},
    {"tokenize", generate::run_tokenize, "turn the channel 'text' into token ids, or back"},
    {"monitor", drift::run_monitor, "compare what an endpoint captured with the baseline"},
    {"serve", serve::run_serve, "answer the gateway that started it, or in a container /ping and /invocations"},
};

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 2;
    case ErrorCode::gate_refused: return 3;
    case ErrorCode::tampered: return 4;
    case ErrorCode::permission_denied: return 5;
    case ErrorCode::waiting: return 6;
    case ErrorCode::undecided: return 7;
    default: return 1;
  }
}

void print_usage(std::FILE* to) {
  std::fputs(
      "usage: redoubt-engine ENTRY [--root DIR]\n\nRuns one job below DIR (default /opt/ml), laid out as SageMaker's "
      "containers are.\n\n",
      to);
  for (const auto& entry : kEntryPoints) std::fprintf(to, "  %-9s %s\n", entry.name.data(), entry.does);
}

void print_error(const Error& error) {
  std::string text = "redoubt-engine: " + error.message + (error.where.empty() ? "" : ": ") + error.where + "\n";
  if (!error.hint.empty()) text += "  " + error.hint + "\n";
  std::fputs(without_control_characters(std::move(text)).c_str(), stderr);
}

tl::unexpected<Error> no_memory(const char* detail) {
  return fail(ErrorCode::limit_exceeded, "not enough memory for this job", detail,
              "give it more memory (memory_gib_max), or a smaller batch_size or max_length");
}

// A pass makes and drops the same tensors thousands of times. What they lay in stays with the process: given back to the kernel, it
// would come again as fresh pages, each zeroed first.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

// The libraries below throw on what they think cannot happen, and when memory runs out; libtorch's allocator throws its own
// kind.
Status run_guarded(const EntryPoint& entry, const std::filesystem::path& root) {
  try {
    return entry.run(root);
  } catch (const std::bad_alloc&) {
    return no_memory("");
  } catch (const c10::Error& error) {
    const std::string_view what = error.what_without_backtrace();
    if (what.find("DefaultCPUAllocator") != what.npos) return no_memory(error.what_without_backtrace());
    return fail(ErrorCode::internal, std::string("unexpected: ") + error.what_without_backtrace());
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, std::string("unexpected: ") + error.what());
  }
}

int run_entry(const EntryPoint& entry, const std::filesystem::path& root) {
  std::error_code ignored;
  std::filesystem::remove(job::Paths{root}.failure(), ignored);  // of an earlier try
  const auto status = run_guarded(entry, root);
  if (status) return 0;
  print_error(status.error());
  (void)job::write_failure({root}, status.error());
  return exit_status(status.error().code);
}

}  // namespace

int run(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h") return print_usage(stdout), 0;
  if (name == "--version") return std::puts("redoubt-engine " REDOUBT_VERSION), 0;
  keep_freed_memory();
  const bool with_root = argc == 4 && std::string_view(argv[2]) == "--root";
  for (const auto& entry : kEntryPoints)
    if (name == entry.name && (argc == 2 || with_root)) return run_entry(entry, with_root ? argv[3] : "/opt/ml");
  print_usage(stderr);
  return 2;
}

}  // namespace redoubt::engine
