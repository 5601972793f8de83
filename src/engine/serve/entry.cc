// SPDX-License-Identifier: Apache-2.0
#include "engine/serve/entry.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "base/file.h"
#include "engine/generate/cached_sequences.h"
#include "engine/generate/job_options.h"
#include "engine/generate/loaded_model.h"
#include "engine/generate/loaded_texts.h"
#include "engine/generate/worker.h"
#include "engine/job/job.h"
#include "engine/serve/container.h"
#include "engine/serve/decoder.h"

namespace redoubt::engine::serve {
namespace {

constexpr std::size_t kToolsMax = 64;  // of a request, as the gateway has it

// What `serve` is told by hyperparameters, and the model it answers with.
struct Served {
  generate::LoadedModel model;
  std::unique_ptr<generate::SequenceModel> sequences;
  std::unique_ptr<generate::TextModel> texts;
  generate::SchedulerOptions scheduler;

  generate::WorkerModel parts() const {
    std::vector<std::string> names;
    for (const auto& adapter : model.adapters) names.push_back(adapter.name);
    return {*sequences, *model.tokenizer, model.end_tokens, [this](const generate::Prompt& prompt) { return encode_messages(model, prompt); },
            [this](std::string_view prompt) { return encode_prompt(model, prompt); }, std::move(names), model.default_adapter, texts.get()};
  }
};

const std::vector<std::string>& known_options() {
  static const std::vector<std::string> names = {"slots", "waiting", "context", "prefix_cache_mib", "dtype", "weights", "threads"};
  return names;
}

// An endpoint's container gets no file of hyperparameters: its model's environment says REDOUBT_SLOTS and so on, over what a file says.
Result<job::Hyperparameters> container_values(const job::Paths& paths) {
  auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  for (const auto& name : known_options()) {
    std::string variable = "REDOUBT_" + name;
    std::ranges::transform(variable, variable.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (const char* value = std::getenv(variable.c_str())) values.set(name, value, "environment: " + variable);
  }
  return values;
}

enum class Reads { no_texts, texts };

Result<std::unique_ptr<Served>> load(const job::Paths& paths, const job::Hyperparameters& values, Reads reads) {
  TRY(values.expect_only(known_options()));
  TRY(generate::use_threads(values));
  auto served = std::make_unique<Served>();
  generate::SequenceOptions options;
  options.slots = static_cast<std::size_t>(TRY(values.integer("slots", 8, 1, 256)));
  options.context = TRY(values.integer("context", 0, 0, 1 << 24));
  options.prefix_bytes_max = static_cast<std::size_t>(TRY(values.integer("prefix_cache_mib", 256, 0, 1 << 20))) << 20;
  options.leaves_room_to_read = reads == Reads::texts;
  served->scheduler.waiting_max = static_cast<std::size_t>(TRY(values.integer("waiting", 64, 0, 65536)));
  const auto adapters = TRY(generate::adapter_folders(paths.model() / "adapter", paths.model() / "adapters"));
  served->model = TRY(generate::load_model(paths.model() / "base", adapters, TRY(generate::model_options(values))));
  served->sequences = TRY(make_sequence_model(served->model, options));
  if (reads == Reads::texts) served->texts = make_text_model(served->model, served->sequences->context_length());
  return served;
}

template <class Integer>
Result<Integer> integer_of(const char* variable, std::string_view text, const char* hint) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size()) return value;
  return fail(ErrorCode::invalid_argument, std::string(variable) + " is not a number", "environment", hint);
}

Status serve_gateway(const job::Paths& paths, std::string_view descriptor) {
  const char* hint = "the gateway sets it; leave it out to serve as a container does";
  const int socket = TRY(integer_of<int>("REDOUBT_WORKER_FD", descriptor, hint));
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
    return fail(ErrorCode::invalid_argument, "REDOUBT_WORKER_FD names no connected stream socket", "environment", hint);
  const auto served = TRY(load(paths, TRY(job::Hyperparameters::read(paths.hyperparameters())), Reads::texts));
  generate::WorkerOptions options;
  options.scheduler = served->scheduler;
  generate::Worker worker(socket, served->parts(), options);
  return worker.run();
}

std::vector<std::string> control_tokens(const tokenizer::Tokenizer& tokenizer) {
  std::vector<std::string> tokens;
  for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    if (tokenizer.is_special(id) && !tokenizer.token_bytes(id).empty()) tokens.emplace_back(tokenizer.token_bytes(id));
  }
  return tokens;
}

// SIGTERM as something to poll; every thread that is started later leaves the signal to it.
Result<Fd> termination() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return fail(ErrorCode::internal, "signals can't be blocked");
  Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "wait for signals", "");
  return fd;
}

Status serve_container(const job::Paths& paths) {
  const Fd stop = TRY(termination());
  ContainerOptions options;
  if (const char* port = std::getenv("SAGEMAKER_BIND_TO_PORT")) {
    options.port = TRY(integer_of<std::uint16_t>("SAGEMAKER_BIND_TO_PORT", port, "name a port from 0 to 65535"));
  }
  const auto served = TRY(load(paths, TRY(container_values(paths)), Reads::no_texts));
  options.requests.tools.tools_max = kToolsMax;
  options.control_tokens = control_tokens(*served->model.tokenizer);
  Decoder decoder(served->parts(), served->scheduler);
  const auto container = TRY(Container::listen(std::move(options), [&](const auto& request, const auto& on_piece) { return decoder.generate(request, on_piece); }));
  job::EventWriter().write("listening", {{"port", container->port()}});
  return container->run(stop.get());
}

}  // namespace

Status run_serve(const std::filesystem::path& root) {
  const job::Paths paths{root};
  const char* descriptor = std::getenv("REDOUBT_WORKER_FD");
  auto status = descriptor != nullptr ? serve_gateway(paths, descriptor) : serve_container(paths);
  if (!status) (void)job::write_failure(paths, status.error());
  return status;
}

}  // namespace redoubt::engine::serve
