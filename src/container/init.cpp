// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/init.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "src/container/failure.h"
#include "src/container/hostname.h"
#include "src/container/view.h"

namespace mb::container {
namespace {

constexpr mode_t kUsualMask = 022;

// getppid() cannot tell whether the supervisor died before this call: it is 0 either way, as the supervisor is outside
// our pid namespace. The channel can: its other end is closed then.
void die_with_supervisor() { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

View view_of(const Launch& launch) {
  View view;
  view.state_dir = launch.state_dir;
  view.id = launch.id;
  view.rootfs = launch.process.rootfs;
  view.volumes = launch.process.volumes;
  view.from_state = launch.from_state;
  view.own_network = launch.attachment != Attachment::host;
  view.privileged = launch.process.privileged;
  return view;
}

bool told_to_go(const Channel& channel) {
  const std::optional<Message> message = channel.receive();
  return message && message->word == Word::go;
}

int live(const Launch& launch, const Stdio& stdio, Channel& channel) {
  enter_view(view_of(launch));
  set_hostname(launch.hostname);
  return run_command(launch.process, launch.publish, stdio, channel);
}

}  // namespace

void run_init(const Launch& launch, const Stdio& stdio, Channel channel) noexcept {
  die_with_supervisor();
  // At once: among them is the lock that says that the supervisor is alive.
  close_all_but({channel.fd(), stdio.streams.in, stdio.streams.out, stdio.streams.err});
  ::setsid();  // Ctrl-C in our terminal reaches the command through its supervisor only, once
  ::umask(kUsualMask);
  if (!told_to_go(channel)) ::_exit(kOursFailed);
  try {
    ::_exit(live(launch, stdio, channel));
  } catch (const std::exception& error) {
    channel.send(Word::failed, encode_error(error));
  }
  ::_exit(kOursFailed);
}

}  // namespace mb::container
