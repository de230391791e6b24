// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a verb does beside the pipe's steps (a signal, a command), as its plan names it.
#pragma once

#include <string>

namespace mb::cli {

struct Deed {
  std::string kind;  // the JSON's word: "send_signal"
  std::string text;  // what follows "would": "send SIGKILL to 'web'"
};

}  // namespace mb::cli
