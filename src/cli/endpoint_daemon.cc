// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>

#include "base/deadline.h"
#include "base/file.h"
#include "base/log.h"
#include "base/monotonic_clock.h"
#include "cli/capture_keeper.h"
#include "cli/endpoint_access.h"
#include "cli/endpoint_guards.h"
#include "cli/endpoint_parts.h"
#include "cli/endpoint_rollout.h"
#include "cli/endpoint_trail.h"
#include "cli/endpoint_watch.h"
#include "cli/local_endpoint.h"
#include "gateway/gateway.h"
#include "http/reactor.h"

namespace redoubt::cli {
namespace {

using stages::deploy::CurrentDeployment;
using stages::deploy::Standing;

constexpr auto kStep = std::chrono::milliseconds(250);  // while a rollout is going on, somebody is being told, or captures expire
constexpr std::chrono::seconds kServicesWait{20};            // at the end
constexpr auto kCertificateRenewal = std::chrono::days(60);  // of the 90 that one of ours lives
constexpr auto kClockSetBack = std::chrono::minutes(5);        // then one of ours is not valid yet, or soon

// Signals are waited for, never handled: blocked in every thread that starts after this.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

class Daemon {
 public:
  Daemon(const GlobalOptions& options, std::string environment) : options_(options), environment_(std::move(environment)), process_(endpoint_process(options, environment_)) {}

  Result<int> run() {
    const sigset_t signals = block_signals();
    const auto lock = FileLock::try_acquire(process_.lock_file());
    if (!lock) return fail(ErrorCode::unavailable, "an endpoint of this environment is already running", environment_, "see 'redoubt endpoint status'");
    status_.pid = ::getpid();
    status_.running = true;
    report("starting", "");  // else the number of the process before, which anything may have by now, would be taken for this one's
    if (auto started = start(); !started) {
      report("failed", started.error().message + (started.error().where.empty() ? "" : " (" + started.error().where + ")"));
      return fail(started.error());
    }
    report_serving();
    serve(signals);
    front_.gateway->drain(drain_max());
    end();
    status_.running = false;
    report("stopped", "");
    return 0;
  }

 private:
  // What is still to be told and stored is, unless services elsewhere let it wait for too long.
  void end() {
    const Deadline limit(kServicesWait, [this] {
      spdlog::error("what is elsewhere has not answered for {} seconds: it is not waited for any longer", kServicesWait.count());
      session_->give_up_services();
    });
    if (trial_ != nullptr) (void)trial_->step();
    tell_refusals();
    keeper_.reset();
    (void)capture_->flush();
    watch_.reset();
    threads_.reset();
    trail_.reset();
    if (auto told = session_->mirror_audit(); !told) log_trail_problem(told.error());
  }

  void report(const char* state, const std::string& error) {
    status_.state = state;
    status_.error = error;
    status_.drain_s = endpoint_.drain_s;
    status_.candidate = trial_ ? trial_->candidate().statement.tagged() : "";
    status_.rollout = trial_ ? trial_->to_json() : Json::object();
    if (auto written = provider::local::write_status(process_.status_file(), status_); !written) spdlog::error("cannot write the status: {}", written.error().message);
  }

  Status start() {
    session_ = TRY(Session::open(options_, Duty::serve));
    reactor_ = TRY(http::Reactor::create());
    threads_.emplace();
    if (session_->keeps_trail()) trail_.emplace(*session_);
    status_.started = to_rfc3339(session_->clock().now());
    report("starting", "");
    TRY(session_->require(governance::Permission::deploy));
    const auto standing = TRY(this->standing());
    const auto& deployment = *standing.current;
    endpoint_ = TRY(pipeline::DeployOptions::from_json(deployment.record.parameters["endpoint"]["serve"]));
    keys_ = TRY(open_api_keys(*session_, environment_));
    refusals_.emplace(session_->clock());
    metrics_.emplace(monotonic_clock());
    budgets_ = TRY(open_budgets(*session_, environment_));
    captures_.emplace(session_->notes(), session_->store(), session_->clock(), environment_);
    capture_ = gateway::BatchedCapture::create([this](ByteView lines) { return captures_->add(lines); });
    keeper_ = TRY(CaptureKeeper::create(*session_, *captures_, environment_));
    prompts_.emplace(capture_.get());
    TRY(follow_current(deployment));
    if (router_.active() == nullptr) return fail(ErrorCode::gate_refused, "the deployed version was revoked", deployment.name() + "/" + deployment.version(), "deploy another version");
    front_ = TRY(start_front());
    // What stands is served, whatever becomes of what is tried.
    if (auto tried = begin_trial(standing); !tried) spdlog::error("the rollout can't go on: {} ({})", tried.error().message, tried.error().where);
    return {};
  }

  std::chrono::seconds drain_max() const { return std::chrono::seconds(endpoint_.drain_s); }

  // Of the files that are named, else a new one of the workspace's authority.
  Result<std::pair<std::string, Secret>> certificate_of(const EndpointAccess& access) {
    auto own = TRY(access.certificate());
    if (own) return std::move(*own);
    const auto issued = TRY(endpoint_certificate(*session_, endpoint_));
    return std::pair(issued.certificate, issued.key.to_pem());
  }

  // Only what is in use is not to be taken again: a chain whose key comes after it is taken once both are there.
  void note_certificate(const std::string& pem) {
    certificate_pem_ = pem;
    certificate_made_ = session_->clock().now();
  }

  // New connections get the new certificate, those that are open keep theirs.
  Status renew_certificate() {
    const auto own = TRY(front_.access->certificate());
    const auto age = session_->clock().now() - certificate_made_;
    if (own ? own->first == certificate_pem_ : age <= kCertificateRenewal && age >= -kClockSetBack) return {};
    const auto fresh = TRY(certificate_of(*front_.access));
    TRY(front_.gateway->replace_certificate(fresh.first, fresh.second));
    note_certificate(fresh.first);
    spdlog::info("the endpoint's certificate was renewed");
    return {};
  }

  // What can't be used leaves the one before in place.
  void look_after_certificate() {
    if (front_.gateway == nullptr) return;
    if (auto renewed = renew_certificate(); !renewed) spdlog::error("the certificate can't be renewed, the one before stays: {} ({})", renewed.error().message, renewed.error().where);
  }

  // What clients meet, and who of them may come: the gateway asks the other and ends first.
  struct Front {
    std::unique_ptr<EndpointAccess> access;
    std::unique_ptr<gateway::Gateway> gateway;
  };

  // On the socket of `before` if there is one, which serves on.
  Result<Front> start_front(const gateway::Gateway* before = nullptr) {
    gateway::GatewayOptions options;
    auto access = TRY(EndpointAccess::create(endpoint_.access, session_->clock(), *metrics_));
    TRY(access->configure(options));
    options.server.host = endpoint_.host;
    options.server.reactor = reactor_;
    options.server.port = static_cast<std::uint16_t>(endpoint_.port);
    const auto certificate = TRY(certificate_of(*access));
    options.server.certificate_pem = certificate.first;
    options.server.private_key_pem = certificate.second;
    options.requests_per_minute = endpoint_.requests_per_minute;
    options.limits.answer_tokens_max = endpoint_.answer_tokens_max;
    options.limits.answer_tokens_default = std::min(options.limits.answer_tokens_default, endpoint_.answer_tokens_max);
    options.signing.hosts = endpoint_.names;
    options.signing.hosts.push_back(endpoint_.host);
    gateway::GatewayDeps deps{*keys_, router_, *metrics_, session_->clock(), endpoint_.capture.share > 0 ? &*prompts_ : nullptr,
                              [this](const std::string& source, const std::string& why) { refusals_->add(source, why); }, access->tokens(), budgets_.get()};
    deps.guards = TRY(make_guards(endpoint_.guards));
    auto told = TRY(make_telemetry(endpoint_.telemetry, std::filesystem::absolute(session_->workspace().layout().logs()), *metrics_));
    deps.sinks = std::move(told.sinks);
    options.traces_share = told.traces_share;
    options.captures_share = endpoint_.capture.share;
    auto gateway = TRY(gateway::Gateway::create(std::move(options), std::move(deps)));
    TRY(gateway->start(before));
    note_certificate(certificate.first);
    const std::string& name = endpoint_.names.front();
    const bool is_ipv6 = name.find(':') != name.npos;
    status_.url = fmt::format("https://{}{}{}:{}", is_ipv6 ? "[" : "", name, is_ipv6 ? "]" : "", gateway->port());
    status_.ca_file = authority_file(*session_, options_).string();
    return Front{std::move(access), std::move(gateway)};
  }

  // A front that another one has followed: its requests under way are answered before it ends.
  class Leaving {
   public:
    Leaving(Front front, std::chrono::seconds drain_max) : front_(std::move(front)), drain_max_(drain_max) {}
    ~Leaving() { front_.gateway->drain(drain_max_); }

   private:
    Front front_;
    std::chrono::seconds drain_max_;
  };

  // Port, names and limits of a new deployment need a front of their own, which serves beside the one before: nobody finds the port closed. That one
  // is answered, for the caller to let go once what is served has changed too; null where the front stays.
  Result<std::unique_ptr<Leaving>> serve_with(const pipeline::DeployOptions& wanted) {
    const auto before = std::exchange(endpoint_, wanted);
    // How its workers are started is nothing of the gateway's.
    const auto of_gateway = [engine = before.engine()](const pipeline::DeployOptions& options) {
      Json settings = options.to_json();
      settings["capture"] = options.capture.share;
      for (const auto& [name, unused] : engine.items()) settings.erase(name);
      for (const char* name : {"workers", "scale", "hang_s", "rollout", "drain_s"}) settings.erase(name);
      return settings;
    };
    if (front_.gateway == nullptr || of_gateway(before) == of_gateway(wanted)) return nullptr;
    const std::chrono::seconds drain_max(before.drain_s);
    const bool is_same_place = wanted.host == before.host && wanted.port == before.port;
    // One address of a port can't be listened on beside all of them.
    const bool is_in_the_way = !is_same_place && wanted.port == front_.gateway->port();
    if (is_in_the_way) front_.gateway->drain(drain_max);
    auto started = start_front(is_same_place ? front_.gateway.get() : nullptr);
    if (started) return std::make_unique<Leaving>(std::exchange(front_, std::move(*started)), drain_max);
    endpoint_ = before;
    if (!is_in_the_way) return fail(started.error());
    front_ = {};
    auto again = start_front();
    if (!again) return fail(ErrorCode::unavailable, started.error().message + "; and no more with the settings before: " + again.error().message, again.error().where);
    front_ = std::move(*again);
    return fail(started.error());
  }

  Result<Standing> standing() {
    auto found = TRY(stages::deploy::standing_of(session_->evidence(), environment_));
    if (!found.current) return fail(ErrorCode::not_found, "nothing was deployed to this environment", environment_, "deploy a version: redoubt deploy NAME/VERSION");
    return found;
  }

  void report_serving() { report(router_.active() == nullptr ? "revoked" : "serving", router_.active() == nullptr ? "the deployed version was revoked" : ""); }

  Status follow(const Standing& standing) {
    TRY(follow_trial(standing));
    TRY(follow_current(*standing.current));
    return begin_trial(TRY(this->standing()));
  }

  // What became of the deployment that is tried here, where it was decided elsewhere.
  Status follow_trial(const Standing& standing) {
    if (trial_ == nullptr) return {};
    const auto& tried = trial_->candidate();
    if (standing.candidate && standing.candidate->statement == tried.statement) {
      if (!TRY(stages::deploy::is_revoked(session_->evidence(), tried))) return {};
      trial_->roll_back("the version was revoked");
      step_rollout();
      return {};
    }
    const bool is_promoted = standing.current->statement == tried.statement;
    // It may be on its way back by an alarm at this moment: then what stood before has to come again, as any deployment does.
    if (trial_->follow(is_promoted ? EndpointRollout::State::promoted : EndpointRollout::State::rolled_back) && is_promoted) TRY(take_over(tried));
    trial_.reset();
    return {};
  }

  Status begin_trial(const Standing& standing) {
    if (trial_ != nullptr || !standing.candidate || router_.active() == nullptr) return {};
    trial_ = TRY(EndpointRollout::begin(*session_, reactor_, router_, standing));
    const auto* drift = watch_->raised("DataDrift");
    had_drift_ = drift != nullptr && was_raised_before(*drift, standing.candidate->record.finished);
    return {};
  }

  // Not after: a process that was killed between an alarm and its rollback has to make up for it.
  static bool was_raised_before(const stages::watch::Alarm& alarm, TimePoint time) {
    const auto raised = parse_rfc3339(alarm.changed);
    return raised && *raised < time;
  }

  void step_rollout() {
    if (trial_ == nullptr) return;
    const auto* drift = watch_->raised("DataDrift");
    if (drift == nullptr) had_drift_ = false;
    if (drift != nullptr && !had_drift_) trial_->roll_back(gateway::alarm_text("DataDrift", drift->value.value_or(std::nan("")), drift->definition.limit));
    const auto state = trial_->step();
    if (state == EndpointRollout::State::going) return;
    if (state == EndpointRollout::State::promoted) {
      if (auto taken = take_over(trial_->candidate()); !taken) spdlog::error("the promoted version is not wholly in place: {} ({})", taken.error().message, taken.error().where);
    }
    trial_.reset();
    report_serving();
  }

  // The router has it active already: its watch, its gateway's settings, its place in the status.
  Status take_over(const CurrentDeployment& deployment) {
    const auto options = TRY(pipeline::WatchOptions::from_json(deployment.record.parameters["endpoint"]["watch"]));
    auto watch = TRY(make_watch(deployment, options));
    const auto leaving = TRY(serve_with(TRY(pipeline::DeployOptions::from_json(deployment.record.parameters["endpoint"]["serve"]))));
    settle(deployment, std::move(watch), options);
    return {};
  }

  Result<std::unique_ptr<EndpointWatch>> make_watch(const CurrentDeployment& deployment, const pipeline::WatchOptions& options) {
    auto watch = TRY(EndpointWatch::create(*session_, environment_, options, deployment.record.parameters["endpoint"]["scan"], *threads_));
    TRY(watch->follow(deployment.record.inputs.at("image"), deployment.record.inputs.at("training_data")));
    return watch;
  }

  void settle(const CurrentDeployment& deployment, std::unique_ptr<EndpointWatch> watch, const pipeline::WatchOptions& options) {
    watch_ = std::move(watch);  // it goes on with the states that the one before has kept
    interval_ = std::chrono::seconds(options.interval_s);
    status_.deployment = deployment.statement.tagged();
    status_.name = deployment.name();
    status_.version = deployment.version();
  }

  // Whether a release's workers run just that, whoever asked for them: those that serve, or those that served before and are still warm.
  static bool runs(const std::shared_ptr<const gateway::Release>& release, const CurrentDeployment& deployment, const pipeline::DeployOptions& serve) {
    return release && release->name == deployment.name() && release->version == deployment.version() && release->content == content_of(deployment, serve) && release->pool->state().can_answer;
  }

  // Serves what a deploy statement says, if it is another than now; nothing once its version was revoked.
  Status follow_current(const CurrentDeployment& deployment) {
    if (TRY(stages::deploy::is_revoked(session_->evidence(), deployment))) {
      if (trial_ != nullptr) trial_->roll_back("what stands beside it was revoked");
      step_rollout();
      if (router_.active() != nullptr) spdlog::warn("{}/{} was revoked: it is served no longer", deployment.name(), deployment.version());
      router_.withdraw();
      status_.deployment = status_.name = status_.version = "";
      return {};
    }
    if (status_.deployment == deployment.statement.tagged()) return {};
    const auto options = TRY(pipeline::WatchOptions::from_json(deployment.record.parameters["endpoint"]["watch"]));
    auto watch = TRY(make_watch(deployment, options));
    const auto serve = TRY(pipeline::DeployOptions::from_json(deployment.record.parameters["endpoint"]["serve"]));
    std::unique_ptr<Leaving> leaving;
    if (runs(router_.active(), deployment, serve)) {
      leaving = TRY(serve_with(serve));
    } else if (runs(router_.previous(), deployment, serve)) {
      leaving = TRY(serve_with(serve));
      TRY(router_.roll_back());
    } else {
      auto release = TRY(start_release(*session_, reactor_, deployment, serve));
      leaving = TRY(serve_with(serve));
      TRY(router_.activate(std::move(release)));
    }
    settle(deployment, std::move(watch), options);
    return {};
  }

  void follow_newest() {
    ++status_.looks_begun;
    report(std::string(status_.state).c_str(), std::string(status_.error));
    if (auto reloaded = keys_->reload(); !reloaded) spdlog::error("cannot read the API keys again: {}", reloaded.error().message);
    const auto newest = standing();
    const auto followed = newest ? follow(*newest) : Status(fail(newest.error()));
    // What served before serves on; whoever asked for the change reads the error.
    status_.looks_done = status_.looks_begun;
    followed ? report_serving() : report("failed", followed.error().message);
  }

  // A revocation reaches the endpoint even if nobody could tell it.
  void end_revoked() {
    const auto newest = standing();
    const auto is_revoked = [&](const std::optional<CurrentDeployment>& one) { return one ? stages::deploy::is_revoked(session_->evidence(), *one) : Result<bool>(false); };
    auto revoked = newest ? is_revoked(newest->current) : Result<bool>(fail(newest.error()));
    if (revoked && !*revoked && trial_ != nullptr) revoked = is_revoked(newest->candidate);
    if (!revoked) return spdlog::error("cannot see whether the version was revoked: {}", revoked.error().message);
    if (*revoked && router_.active() != nullptr) follow_newest();
  }

  void tell_refusals() {
    if (front_.access != nullptr) {
      if (auto told = record_issuer_changes(*session_, environment_, *front_.access); !told) spdlog::error("cannot record how the issuer's keys are: {} ({})", told.error().message, told.error().where);
    }
    if (auto told = record_refusals(*session_, environment_, *refusals_); !told) spdlog::error("cannot record what was refused: {} ({})", told.error().message, told.error().where);
  }

  void tell_alarms() {
    if (watch_ != nullptr) watch_->tell();
    is_telling_ = threads_->telling.is_under_way();
  }

  void serve(const sigset_t& signals) {
    auto next_tick = std::chrono::steady_clock::now();
    while (true) {
      step_rollout();
      keeper_->step(endpoint_.capture.retention_days);
      if (is_telling_ && !threads_->telling.is_under_way()) tell_alarms();
      if (watch_ != nullptr && watch_->awaits_answer()) {
        watch_->take_answer();
        step_rollout();
        tell_alarms();
      }
      if (std::chrono::steady_clock::now() >= next_tick) {
        end_revoked();
        if (front_.access != nullptr) front_.access->refresh();
        look_after_certificate();
        tell_refusals();
        const auto release = router_.active();
        if (watch_ != nullptr) watch_->tick(metrics_->snapshot(), release ? release->pool->state() : gateway::PoolState{}, *prompts_);
        step_rollout();  // before anything that may wait
        tell_alarms();
        if (trial_ != nullptr) report_serving();  // how it stands
        if (trail_) trail_->step();
        next_tick = std::chrono::steady_clock::now() + interval_;
      }
      const bool is_awaiting = trial_ != nullptr || is_telling_ || keeper_->is_under_way() || (watch_ != nullptr && watch_->awaits_answer());
      const auto next_step = is_awaiting ? std::min(next_tick, std::chrono::steady_clock::now() + kStep) : next_tick;
      const auto wait = std::chrono::duration_cast<std::chrono::nanoseconds>(std::max(next_step - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero()));
      const timespec time{static_cast<time_t>(wait.count() / 1'000'000'000), static_cast<long>(wait.count() % 1'000'000'000)};
      const int signal = sigtimedwait(&signals, nullptr, &time);
      if (signal == SIGHUP) follow_newest();
      if (signal == SIGTERM || signal == SIGINT) return;
    }
  }

  const GlobalOptions& options_;
  std::string environment_;
  provider::local::EndpointProcess process_;
  provider::EndpointStatus status_;
  std::chrono::seconds interval_{30};
  std::unique_ptr<Session> session_;
  std::shared_ptr<http::Reactor> reactor_;  // clients and workers are served by its thread
  pipeline::DeployOptions endpoint_;
  std::unique_ptr<gateway::ApiKeys> keys_;
  std::optional<gateway::GatewayMetrics> metrics_;
  std::optional<custody::CaptureList> captures_;
  std::unique_ptr<CaptureKeeper> keeper_;
  std::unique_ptr<gateway::BatchedCapture> capture_;
  std::optional<PromptWindow> prompts_;
  std::optional<WatchThreads> threads_;
  bool is_telling_ = false;  // and has to be asked for the outcome
  std::optional<EndpointTrail> trail_;
  std::unique_ptr<EndpointWatch> watch_;
  std::unique_ptr<gateway::BudgetBook> budgets_;
  gateway::Router router_;
  std::unique_ptr<EndpointRollout> trial_;
  bool had_drift_ = false;  // before the trial began
  std::optional<gateway::RefusalLog> refusals_;
  std::string certificate_pem_;
  TimePoint certificate_made_{};
  Front front_;
};

}  // namespace

Result<int> run_endpoint(const GlobalOptions& options, const std::string& environment) {
  return Daemon(options, environment).run();
}

}  // namespace redoubt::cli
