// SPDX-License-Identifier: GPL-2.0-or-later
//
// `exec`: a further command in a container that exists.
//
// Beside a running container's processes it joins all namespaces of the container's init, and so its file tree. In a
// container that is only a namespace (`create`) it gets a mount and a uts namespace of its own for the time it runs,
// arranged as for `run`. In both cases the command has a process of ours above it that hands on signals and dies with
// us; it takes the command along.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "src/model/objects.h"

namespace mb::container {

struct ExecTarget {
  Id id;
  Name name;
  std::string state_dir;
  pid_t init_pid = 0;          // 0: there is no process
  std::string namespace_path;  // without a process: the pin of its network namespace; empty: the present one
  std::string hostname;        // without a process
};

// Runs the command and returns its exit status (128 + signal). Standard streams, terminal and signals as in
// supervise_foreground. Of the specification, rootfs and volumes are not looked at. Throws CommandFailure or Error when the
// command cannot be started.
int exec_in_container(const ExecTarget& target, const ProcessSpec& spec);

// The general form: `enter` moves the process that will start the command to where it is to run, with no descriptor open but the
// streams and `kept`.
int exec_elsewhere(const ProcessSpec& spec, const std::vector<int>& kept, const std::function<void()>& enter);

}  // namespace mb::container
