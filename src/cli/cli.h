// SPDX-License-Identifier: GPL-2.0-or-later
//
// The program: words in, exit status out. Every error of the program is printed here and nowhere else.
#pragma once

namespace mb::cli {

// 0 done · 1 failed · 2 bad words · 3 needs privilege · 4 conflict · 5 `repair --check` found differences.
// `run` and `exec`: 125 for failures of ours, 126 cannot be executed, 127 not found, else the command's own status.
int run(int argc, char** argv);

}  // namespace mb::cli
