// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/server.h"

#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <utility>

#include "src/base/error.h"
#include "src/container/descriptors.h"
#include "src/container/echo.h"
#include "src/container/failure.h"

namespace mb::lab {
namespace {

container::EchoOptions echo_options(const std::vector<Listen>& listen) {
  container::EchoOptions options;
  for (const Listen& each : listen) options.listen.push_back({each.address, each.port, each.protocol});
  return options;
}

// In a fork of the lab's first process.
[[noreturn]] void serve(int network, const std::vector<Listen>& listen, container::Channel channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    if (::setns(network, CLONE_NEWNET) != 0) throw system_failure("cannot enter a network namespace", errno);
    // A lab that stays up outlives its starter, who may be a shell that waits for the end of our output.
    container::drop_standard_streams();
    container::close_all_but({channel.fd()});
    const auto message = channel.receive();
    if (!message || message->word != container::Word::go) ::_exit(1);
    ::_exit(container::serve_echo(echo_options(listen), [&channel] { channel.hang_up(); }));
  } catch (const std::exception& error) {
    channel.send(container::Word::failed, container::encode_error(error));
  }
  ::_exit(1);
}

}  // namespace

container::Prepared serve_echo(const netns::Namespace& where, const std::vector<Listen>& listen) {
  const int place = where.fd();
  auto process =
      container::spawn_process(0, [&](container::Channel channel) { serve(place, listen, std::move(channel)); });
  process.go();
  return process;
}

}  // namespace mb::lab
