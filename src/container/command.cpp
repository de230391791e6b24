// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/command.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/attend.h"
#include "src/container/capabilities.h"
#include "src/container/echo.h"
#include "src/container/execute.h"
#include "src/container/failure.h"
#include "src/container/identity.h"
#include "src/container/signals.h"
#include "src/container/terminal.h"

namespace mb::container {
namespace {

void use_streams(const Stdio& stdio, const Pty& pty, const Identity& identity) {
  if (!stdio.terminal) {
    become_standard_streams(stdio.streams);
    return;
  }
  // Best effort: so that the command can open its terminal by name as well. Group and mode are devpts' business.
  if (identity.changes) [[maybe_unused]]
    const int ignored = ::fchown(pty.slave.get(), identity.uid, static_cast<gid_t>(-1));
  take_terminal(pty.slave);
  become_standard_streams({pty.slave.get(), pty.slave.get(), pty.slave.get()});
}

void become_user(const ProcessSpec& spec, const Identity& identity) {
  const Capabilities wanted = wanted_capabilities(spec);
  limit_capabilities(wanted);
  assume(identity);
  keep_capabilities(wanted);
}

void enter_directory(const std::string& directory) {
  if (::chdir(directory.c_str()) == 0) return;
  throw system_failure(fmt::format("cannot enter the working directory '{}'", directory), errno,
                       "it must exist in the container; set it with --workdir");
}

// The same port may be published twice, on two addresses of the host: one socket serves both.
std::vector<EchoListen> container_ports(const std::vector<PublishSpec>& publish) {
  const bool has_v6 = ::access("/proc/net/if_inet6", F_OK) == 0;
  const IpAddress everywhere = IpAddress::any(has_v6 ? Family::v6 : Family::v4);
  std::set<std::pair<unsigned, Protocol>> ports;
  for (const PublishSpec& spec : publish) {
    for (unsigned port = spec.container_ports.first; port <= spec.container_ports.last; ++port) {
      ports.emplace(port, spec.protocol);
    }
  }
  if (ports.empty()) ports.emplace(80, Protocol::tcp);
  std::vector<EchoListen> listen;
  for (const auto& [port, protocol] : ports) listen.push_back({everywhere, static_cast<std::uint16_t>(port), protocol});
  return listen;
}

// Not executed but called: it works below any root directory, where our program's file need not exist.
[[noreturn]] void be_test_server(const std::vector<PublishSpec>& publish, Channel& channel) {
  close_all_but({channel.fd()});
  ::prctl(PR_SET_NAME, "echo");
  ::_exit(serve_echo({container_ports(publish)}, [&channel] { channel.hang_up(); }));
}

[[noreturn]] void become_command(const ProcessSpec& spec, const std::vector<PublishSpec>& publish, const Stdio& stdio,
                                 const Pty& pty, Channel& channel) {
  reset_signals();
  ::setsid();
  const Identity identity = find_identity(spec.user);
  use_streams(stdio, pty, identity);
  become_user(spec, identity);
  enter_directory(spec.working_directory);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (spec.argv.empty()) be_test_server(publish, channel);
  execute(spec.argv, with_home(spec.environment, identity.home));
}

pid_t fork_command(const ProcessSpec& spec, const std::vector<PublishSpec>& publish, const Stdio& stdio, const Pty& pty,
                   Channel& channel) {
  const pid_t command = ::fork();
  if (command < 0) throw system_failure("cannot fork the container's command", errno);
  if (command > 0) return command;
  try {
    become_command(spec, publish, stdio, pty, channel);
  } catch (const std::exception& error) {
    channel.send(Word::failed, encode_error(error));
  }
  ::_exit(kOursFailed);
}

}  // namespace

int run_command(const ProcessSpec& spec, const std::vector<PublishSpec>& publish, const Stdio& stdio,
                Channel& channel) {
  Pty pty;
  if (stdio.terminal) {
    pty = open_pty(stdio.window);
    channel.send(Word::terminal, {}, pty.master.get());
    pty.master.reset();
  }
  const pid_t command = fork_command(spec, publish, stdio, pty, channel);
  channel.hang_up();
  pty.slave.reset();
  drop_standard_streams();
  close_all_but({});
  keep_only_signalling();
  return attend(command);
}

}  // namespace mb::container
