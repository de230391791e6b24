// SPDX-License-Identifier: GPL-2.0-or-later
//
// netns: Linux network namespaces, and nothing else.
//
// Create one, open one, keep it alive under a name, run a function or a command inside it, read
// and write its sysctls, drop it again. The library knows no bridge, no address and no rule, and
// stands on the standard library and the kernel alone.
//
//     auto box = netns::Namespace::create();                      // the caller stays where it is
//     netns::pin(box, "/run/demo/netns/box");                     // now it outlives the process
//     netns::write_sysctl(box, "net.ipv4.ip_forward", "1");
//     int socket = netns::run_in(box, [] { return ::socket(AF_INET, SOCK_STREAM, 0); });
//     auto links = netns::run({"ip", "link"}, box);               // links.status, .out, .err
//     netns::unpin("/run/demo/netns/box");
//
// What always holds
//   - The calling thread never changes namespace. Whatever must happen inside one happens in a
//     short-lived thread that is joined before the call returns, or in a child after the fork.
//     (NamespaceToCome is made in a Worker, whose thread goes back to where it was.)
//     (enter_own_world() is the one exception: changing is its purpose.)
//   - A socket stays in the namespace in which it was opened, whoever uses it afterwards. So
//     "open it in run_in, use it outside" is the usual pattern.
//   - Every descriptor is close-on-exec and has an owner.
//   - A failure is a std::system_error whose text says what was tried, on what, and what the
//     kernel answered. Nothing is half done: a failed pin leaves no file behind.
//
// The kernel keeps a namespace as long as something refers to it: a process inside, an open
// descriptor, a mount (a pin), or a socket. There is no call that deletes one: drop them all.
//
// Contents
//   unique_fd.h   UniqueFd: a file descriptor with an owner
//   namespace.h   Namespace: the handle; run_in(): a function inside; NamespaceToCome: made meanwhile
//   worker.h      Worker: a second thread, for what need not be waited for
//   pin.h         pin(), unpin(): names in the file system that keep a namespace alive
//   sysctl.h      read_sysctl(), write_sysctl()
//   command.h     run(), Child: a command inside
//   own_world.h   enter_own_world(): a private machine for tests and labs, without root
#pragma once

#include "netns/command.h"
#include "netns/namespace.h"
#include "netns/own_world.h"
#include "netns/pin.h"
#include "netns/sysctl.h"
#include "netns/unique_fd.h"
#include "netns/worker.h"
