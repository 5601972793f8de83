// SPDX-License-Identifier: Apache-2.0
//
// Each test is run as who runs the tests and, when that is root, again as an ordinary user in a forked process.
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "sandbox/probe/tar.h"

namespace redoubt::sandbox {
namespace {

using probe_image::Entry;
using probe_image::make_tar;

using testing::HasSubstr;
using testing::StartsWith;

class OwnedSource final : public Source {
 public:
  explicit OwnedSource(Bytes bytes) : bytes_(std::move(bytes)), source_(bytes_) {}
  Result<std::size_t> read(MutableByteView into) override { return source_.read(into); }

 private:
  Bytes bytes_;
  MemorySource source_;
};

Entry probe() { return {"usr/bin/probe", *read_text_file(REDOUBT_PROBE, 64 << 20)}; }

Options options_with(std::vector<Entry> entries) {
  Options options;
  options.layers.push_back(std::make_unique<OwnedSource>(make_tar(entries)));
  return options;
}

struct Said : OutputHandler {
  std::string out, err;
  Status on_stdout(std::string_view line) override { return out.append(line).append("\n"), Status{}; }
  Status on_stderr(std::string_view line) override { return err.append(line).append("\n"), Status{}; }
};

std::string error_text(const Error& error) { return error.message + " [" + error.where + "] " + error.hint; }

struct Prison {
  std::unique_ptr<Sandbox> sandbox;
  Said said;
  Exit exit;
};

Result<Prison> run_in(std::unique_ptr<Sandbox> sandbox, std::vector<std::string> arguments, WaitOptions wait = {}) {
  Prison prison{std::move(sandbox), {}, {}};
  arguments.insert(arguments.begin(), "/usr/bin/probe");
  TRY(prison.sandbox->start({arguments, {"PATH=/usr/bin"}, {}}));
  prison.exit = TRY(prison.sandbox->wait(wait, prison.said));
  return prison;
}

Result<Prison> run(std::vector<std::string> arguments, Limits limits = {}, WaitOptions wait = {}) {
  Options options = options_with({probe()});
  options.limits = limits;
  return run_in(TRY(Sandbox::create(std::move(options))), std::move(arguments), wait);
}

std::string answer(std::vector<std::string> arguments, Limits limits = {}) {
  auto prison = run(std::move(arguments), limits);
  if (!prison) return "not run: " + error_text(prison.error());
  return prison->said.out + prison->said.err;
}

enum class Who { as_we_are, ordinary_user };

class SandboxTest : public testing::TestWithParam<Who> {
 protected:
  // The body of the test, in a child process of an ordinary user where asked for.
  void as_user(const std::function<void()>& body) {
    if (GetParam() == Who::as_we_are || geteuid() != 0) return body();
    const pid_t child = fork();
    if (child == 0) {
      const bool dropped = setgid(54'321) == 0 && setuid(54'321) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
      if (!dropped) _exit(2);
      body();
      fflush(nullptr);
      _exit(HasFailure() ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << "as an ordinary user";
  }
};

INSTANTIATE_TEST_SUITE_P(All, SandboxTest, testing::Values(Who::as_we_are, Who::ordinary_user),
                         [](const auto& with) { return with.param == Who::as_we_are ? "as_we_are" : "as_ordinary_user"; });

TEST_P(SandboxTest, a_program_runs_as_an_unknown_user_with_its_own_process_numbers) {
  as_user([] {
    auto prison = run({"ids"});
    ASSERT_TRUE(prison) << error_text(prison.error());
    EXPECT_EQ(prison->said.out, "2 65532 65532\n");
    EXPECT_EQ(prison->exit.ending, Ending::exited);
    EXPECT_EQ(prison->sandbox->confinement().proved.size(), 5u);
    if (geteuid() == 0) {
      EXPECT_GE(prison->sandbox->confinement().host_user, 1'000'000'000u);
    }
  });
}

TEST_P(SandboxTest, exit_codes_and_signals_come_back) {
  as_user([] {
    auto left = run({"exit", "7"});
    ASSERT_TRUE(left) << error_text(left.error());
    EXPECT_EQ(left->exit.code, 7);
    auto aborted = run({"abort"});
    ASSERT_TRUE(aborted) << error_text(aborted.error());
    EXPECT_EQ(aborted->exit.ending, Ending::signalled);
    EXPECT_EQ(aborted->exit.code, 128 + SIGABRT);
  });
}

TEST_P(SandboxTest, no_socket_of_any_family_can_be_made) {
  as_user([] {
    for (const char* family : {"inet", "inet6", "unix", "netlink", "vsock", "packet", "alg"}) {
      EXPECT_EQ(answer({"socket", family}), "refused EPERM\n") << family;
    }
  });
}

TEST_P(SandboxTest, no_privileged_system_call_works) {
  as_user([] {
    for (const char* call :
         {"unshare",           "mount",  "remount",    "umount",      "chroot",      "ptrace",          "setuid",
          "setgroups",         "keyctl", "bpf",        "io_uring",    "userfaultfd", "perf_event_open", "process_vm_readv",
          "open_by_handle_at", "mknod",  "clone_user", "raise_limit", "capability",  "seteuid_thread",  "personality"}) {
      EXPECT_EQ(answer({"call", call}), "refused EPERM\n") << call;
    }
    EXPECT_EQ(answer({"call", "clone3"}), "refused ENOSYS\n");
    EXPECT_THAT(answer({"call", "kill_init"}), StartsWith("refused"));
  });
}

TEST_P(SandboxTest, files_of_the_host_have_no_name_inside) {
  as_user([] {
    for (const char* path : {"/etc/shadow", "/etc/passwd", "/root", "/work", "/home", REDOUBT_PROBE, "/dev/mem", "/dev/kmsg",
                             "/dev/sda", "/dev/vda", "/sys/kernel", "/sys/fs/cgroup", "/run", "/var"}) {
      EXPECT_EQ(answer({"read", path}), "refused ENOENT\n") << path;
    }
    for (const char* path : {"/proc/1/root/etc/shadow", "/proc/1/environ", "/proc/1/mem", "/proc/1/fd", "/proc/1/cwd"}) {
      EXPECT_THAT(answer({"read", path}), StartsWith("refused")) << path;
    }
    // The tester's own process has no number inside.
    EXPECT_EQ(answer({"read", "/proc/" + std::to_string(getpid()) + "/status"}), "refused ENOENT\n");
  });
}

TEST_P(SandboxTest, only_the_work_folder_and_tmp_can_be_written) {
  as_user([] {
    for (const char* path :
         {"/new", "/usr/bin/probe", "/usr/bin/new", "/dev/new", "/proc/sysrq-trigger", "/proc/self/oom_score_adj",
          "/proc/sys/kernel/core_pattern", "/opt/new", "/sys/devices/system/cpu/online"}) {
      EXPECT_THAT(answer({"write", path}), StartsWith("refused")) << path;
    }
    EXPECT_EQ(answer({"write", "/opt/ml/new"}), "allowed\n");
    EXPECT_EQ(answer({"write", "/tmp/new"}), "allowed\n");
    EXPECT_EQ(answer({"write", "/dev/null"}), "allowed\n");
  });
}

TEST_P(SandboxTest, the_work_folder_holds_no_programs) {
  as_user([] {
    auto sandbox = Sandbox::create(options_with({probe()}));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    ASSERT_TRUE((*sandbox)->work().write_input("tool", "#!/usr/bin/probe\n"));
    auto prison = run_in(std::move(*sandbox), {"run", "/opt/ml/tool"});
    ASSERT_TRUE(prison) << error_text(prison.error());
    EXPECT_EQ(prison->said.out, "refused EACCES\n");
  });
}

TEST_P(SandboxTest, neither_environment_nor_descriptors_of_the_parent_come_along) {
  as_user([] {
    setenv("REDOUBT_TEST_TOKEN", "secret", 1);
    const int leaked = open("/etc/passwd", O_RDONLY);
    EXPECT_EQ(answer({"env"}), "PATH=/usr/bin\n");
    EXPECT_EQ(answer({"fds"}), "0 1 2 \n");
    close(leaked);
  });
}

TEST_P(SandboxTest, a_descriptor_given_on_purpose_works_both_ways) {
  as_user([] {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    auto sandbox = Sandbox::create(options_with({probe()}));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    const Status started = (*sandbox)->start({{"/usr/bin/probe", "echo_fd"}, {}, {{ends[1], "WORKER_FD"}}});
    ASSERT_TRUE(started) << error_text(started.error());
    close(ends[1]);
    ASSERT_EQ(write(ends[0], "x", 1), 1);
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    Said said;
    EXPECT_EQ((*sandbox)->wait({}, said)->code, 0);
    close(ends[0]);
  });
}

TEST_P(SandboxTest, memory_beyond_the_limit_is_not_given) {
  as_user([] {
    Limits limits;
    limits.memory_bytes_max = 64 << 20;
    auto prison = run({"memory", "200"}, limits);
    ASSERT_TRUE(prison) << error_text(prison.error());
    EXPECT_THAT(prison->said.out, testing::Not(HasSubstr("allowed")));
    if (prison->sandbox->confinement().memory != MemoryLimit::process_data) {
      EXPECT_EQ(prison->exit.ending, Ending::out_of_memory);
    }
    EXPECT_EQ(answer({"memory", "20"}, limits), "allowed\n");
  });
}

TEST_P(SandboxTest, a_fork_bomb_stops_at_the_limit_and_ends_with_the_program) {
  as_user([] {
    Limits limits;
    limits.processes_max = 16;
    const std::string out = answer({"fork", "200"}, limits);
    ASSERT_THAT(out, StartsWith("forked "));
    EXPECT_LE(std::stoi(out.substr(7)), 16);
  });
}

TEST_P(SandboxTest, the_work_folder_has_an_end) {
  as_user([] {
    Limits limits;
    limits.work_bytes_max = 8 << 20;
    EXPECT_THAT(answer({"fill", "/opt/ml/big", "20"}, limits), StartsWith("refused"));
    EXPECT_THAT(answer({"fill", "/tmp/big", "100"}), StartsWith("refused"));
  });
}

TEST_P(SandboxTest, time_beyond_the_limit_is_not_given) {
  as_user([] {
    auto prison = run({"sleep", "1000"}, {}, {.time_max = std::chrono::milliseconds(200)});
    ASSERT_TRUE(prison) << error_text(prison.error());
    EXPECT_EQ(prison->exit.ending, Ending::timed_out);
  });
}

TEST_P(SandboxTest, processes_left_behind_end_with_the_program) {
  as_user([] {
    auto prison = run({"daemon"});
    ASSERT_TRUE(prison) << error_text(prison.error());
    EXPECT_EQ(prison->said.out, "left\n");
    // Its pipes had other writers: that they are at their end shows that these are gone.
    EXPECT_NE(kill(prison->sandbox->pid(), 0), 0);
  });
}

TEST_P(SandboxTest, kill_from_another_thread_ends_the_wait) {
  as_user([] {
    auto sandbox = Sandbox::create(options_with({probe()}));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    ASSERT_TRUE((*sandbox)->start({{"/usr/bin/probe", "sleep", "1000"}, {}, {}}));
    std::thread killer([&] { (*sandbox)->kill(); });
    Said said;
    auto exit = (*sandbox)->wait({}, said);
    killer.join();
    ASSERT_TRUE(exit) << error_text(exit.error());
    EXPECT_EQ(exit->ending, Ending::killed);
  });
}

TEST_P(SandboxTest, inputs_are_read_inside_and_outputs_outside) {
  as_user([] {
    auto sandbox = Sandbox::create(options_with({probe()}));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    WorkFolder& work = (*sandbox)->work();
    ASSERT_TRUE(work.write_input("input/data/train/a.txt", "hello"));
    EXPECT_EQ(work.write_input("input/data/train/a.txt", "again").error().code, ErrorCode::already_exists);
    EXPECT_EQ(work.write_input("../x", "hello").error().code, ErrorCode::invalid_argument);
    auto prison = run_in(std::move(*sandbox), {"fill", "/opt/ml/model.bin", "1"});
    ASSERT_TRUE(prison) << error_text(prison.error());
    WorkFolder& after = prison->sandbox->work();
    const auto files = after.list("");
    ASSERT_TRUE(files) << error_text(files.error());
    ASSERT_EQ(files->size(), 2u);
    EXPECT_EQ((*files)[0].path, "input/data/train/a.txt");
    EXPECT_EQ((*files)[1].size, 1u << 20);
    Bytes text(5);
    ASSERT_TRUE((*after.open("input/data/train/a.txt"))->read_at(0, text));
    EXPECT_EQ(to_text(text), "hello");
    EXPECT_TRUE(after.list("absent")->empty());
  });
}

TEST_P(SandboxTest, links_and_special_files_planted_as_outputs_are_not_followed) {
  as_user([] {
    for (const std::vector<std::string>& plant :
         std::vector<std::vector<std::string>>{{"link", "/etc/passwd", "/opt/ml/planted"},
                                               {"link", "../../etc/passwd", "/opt/ml/planted"},
                                               {"link", "/", "/opt/ml/planted"}}) {
      auto prison = run(plant);
      ASSERT_TRUE(prison) << error_text(prison.error());
      ASSERT_EQ(prison->said.out, "allowed\n");
      WorkFolder& work = prison->sandbox->work();
      EXPECT_EQ(work.open("planted").error().code, ErrorCode::permission_denied) << plant[1];
      EXPECT_EQ(work.list("").error().code, ErrorCode::permission_denied) << plant[1];
      EXPECT_EQ(work.open("planted/etc/passwd").error().code, ErrorCode::permission_denied);
      EXPECT_FALSE(work.write_input("planted/x", "y"));
    }
    EXPECT_EQ(answer({"fifo", "/opt/ml/planted"}), "refused EPERM\n");
  });
}

TEST(CgroupTest, a_group_that_a_killed_parent_left_behind_is_removed) {
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  auto left = Cgroup::create(gone, {1 << 20, 10});
  waitpid(gone, nullptr, 0);
  if (!left) {
    EXPECT_EQ(left.error().code, ErrorCode::unsupported);
    return;
  }
  // The same number again, as after a wrap-around, while the old group still lies there.
  auto again = Cgroup::create(gone, {1 << 20, 10});
  EXPECT_TRUE(again);
}

TEST(WorkFolderTest, a_fifo_neither_blocks_nor_opens) {
  const auto folder = TemporaryFolder::create();
  ASSERT_EQ(mkfifo((folder->path() / "fifo").c_str(), 0600), 0);
  const WorkFolder work(Fd(open(folder->path().c_str(), O_RDONLY | O_DIRECTORY)), geteuid(), 1 << 20, 10);
  EXPECT_EQ(work.open("fifo").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(work.list("").error().code, ErrorCode::permission_denied);
}

TEST(WorkFolderTest, more_files_or_bytes_than_the_limits_are_refused) {
  const auto folder = TemporaryFolder::create();
  WorkFolder work(Fd(open(folder->path().c_str(), O_RDONLY | O_DIRECTORY)), geteuid(), 4, 2);
  ASSERT_TRUE(work.write_input("a", "12345"));
  EXPECT_EQ(work.open("a").error().code, ErrorCode::limit_exceeded);
  ASSERT_TRUE(work.write_input("b", "1"));
  EXPECT_TRUE(work.list(""));
  ASSERT_TRUE(work.write_input("c", "1"));
  EXPECT_EQ(work.list("").error().code, ErrorCode::limit_exceeded);
}

TEST_P(SandboxTest, a_line_without_end_is_refused) {
  as_user([] {
    auto prison = run({"long", "100000"}, {}, {.stdout_line_bytes_max = 1000});
    ASSERT_FALSE(prison);
    EXPECT_EQ(prison.error().code, ErrorCode::limit_exceeded);
  });
}

TEST_P(SandboxTest, images_that_reach_out_are_refused) {
  as_user([] {
    const std::vector<Entry> bad = {{"../escape", "x"},
                                    {"usr/../../escape", "x"},
                                    {"dev/sda", "", AE_IFBLK},
                                    {"tty", "", AE_IFCHR},
                                    {"pipe", "", AE_IFIFO},
                                    {"hard", "", AE_IFREG, 0644, "../../etc/passwd"},
                                    {"hard", "", AE_IFREG, 0644, "etc/passwd"}};
    for (const Entry& entry : bad) {
      auto sandbox = Sandbox::create(options_with({probe(), entry}));
      ASSERT_FALSE(sandbox) << entry.path;
      EXPECT_EQ(sandbox.error().code, ErrorCode::invalid_argument) << error_text(sandbox.error());
    }
    Options broken;
    broken.layers.push_back(std::make_unique<OwnedSource>(Bytes(5000, 0x5a)));
    EXPECT_EQ(Sandbox::create(std::move(broken)).error().code, ErrorCode::invalid_argument);
  });
}

TEST_P(SandboxTest, a_link_of_the_image_in_place_of_a_mount_is_refused) {
  as_user([] {
    auto sandbox = Sandbox::create(options_with({probe(), {"opt/ml", "", AE_IFLNK, 0777, "/usr"}}));
    ASSERT_FALSE(sandbox);
    EXPECT_EQ(sandbox.error().code, ErrorCode::unsupported);
  });
}

TEST_P(SandboxTest, links_and_whiteouts_of_an_image_mean_what_they_say) {
  as_user([] {
    Options options = options_with(
        {probe(), {"bin", "", AE_IFLNK, 0777, "usr/bin"}, {"etc/gone", "x"}, {"etc/kept", "x"}, {"opaque/old", "x"}});
    options.layers.push_back(std::make_unique<OwnedSource>(make_tar({{"bin/again", "", AE_IFREG, 0755, "usr/bin/probe"},
                                                                     {"etc/.wh.gone", ""},
                                                                     {"opaque/.wh..wh..opq", ""},
                                                                     {"opaque/new", "x"}})));
    auto sandbox = Sandbox::create(std::move(options));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    auto prison = run_in(std::move(*sandbox), {"run", "/usr/bin/again"});
    ASSERT_TRUE(prison) << error_text(prison.error());
    EXPECT_EQ(prison->said.out, "ran\n");
  });
}

TEST_P(SandboxTest, a_layer_whose_source_fails_is_never_run) {
  struct Failing : Source {
    int reads = 0;
    Result<std::size_t> read(MutableByteView into) override {
      if (++reads > 1) return fail(ErrorCode::tampered, "digest differs", "layer");
      std::fill(into.begin(), into.end(), 0);
      return std::size_t{512};
    }
  };
  as_user([] {
    Options options;
    options.layers.push_back(std::make_unique<Failing>());
    auto sandbox = Sandbox::create(std::move(options));
    ASSERT_FALSE(sandbox);
    EXPECT_EQ(sandbox.error().code, ErrorCode::tampered);
  });
}

TEST_P(SandboxTest, an_image_larger_than_its_limit_is_refused) {
  as_user([] {
    Options options = options_with({{"big", std::string(4 << 20, 'x')}});
    options.limits.root_bytes_max = 1 << 20;
    EXPECT_EQ(Sandbox::create(std::move(options)).error().code, ErrorCode::limit_exceeded);
  });
}

TEST_P(SandboxTest, a_program_that_is_not_there_is_an_error) {
  as_user([] {
    auto sandbox = Sandbox::create(options_with({probe()}));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    EXPECT_EQ((*sandbox)->start({{"/absent"}, {}, {}}).error().code, ErrorCode::not_found);
  });
}

TEST_P(SandboxTest, everything_ends_when_the_parent_is_killed) {
  as_user([] {
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t parent = fork();
    if (parent == 0) {
      auto sandbox = Sandbox::create(options_with({probe()}));
      const bool started = sandbox && (*sandbox)->start({{"/usr/bin/probe", "sleep", "1000"}, {}, {}});
      const pid_t program = started ? (*sandbox)->pid() : -1;
      if (write(report[1], &program, sizeof program) < 0) _exit(3);
      for (;;) pause();
    }
    pid_t program = -1;
    ASSERT_EQ(read(report[0], &program, sizeof program), static_cast<ssize_t>(sizeof program));
    ASSERT_GT(program, 0);
    EXPECT_EQ(kill(program, 0) == 0 || errno == EPERM, true);
    kill(parent, SIGKILL);
    waitpid(parent, nullptr, 0);
    while (kill(program, 0) == 0 || errno == EPERM) usleep(1000);  // the test's own time limit judges
    close(report[0]);
    close(report[1]);
  });
}

TEST_P(SandboxTest, nothing_is_mounted_outside_while_it_runs) {
  as_user([] {
    const std::string before = *read_text_file("/proc/self/mountinfo");
    auto sandbox = Sandbox::create(options_with({probe()}));
    ASSERT_TRUE(sandbox) << error_text(sandbox.error());
    EXPECT_EQ(*read_text_file("/proc/self/mountinfo"), before);
  });
}

}  // namespace
}  // namespace redoubt::sandbox
