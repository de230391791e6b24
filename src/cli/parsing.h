// SPDX-License-Identifier: GPL-2.0-or-later
//
// Between CLI11 and the user: what a value may be, and what is wrong with the words, in sentences of ours. CLI11's own
// texts ("--icc: At Most 1 required but received 2") never reach anybody.
#pragma once

#include <string>
#include <vector>

#include "src/base/error.h"

namespace CLI {
class App;
class Option;
class ParseError;
}  // namespace CLI

namespace mb::cli {

// The option takes a whole number in this range. Returns the option.
CLI::Option* expect_number(CLI::Option* option, int lowest, int highest);
// The option takes one of these words. Returns the option.
CLI::Option* expect_word(CLI::Option* option, const std::vector<std::string>& words);

// The verb that was understood so far: "network create"; empty if there is none.
std::string verb_path(const CLI::App& program);
// "'minibridge network create --help' shows its words".
std::string hint_at_help(const CLI::App& program);

// What CLI11 found wrong. Error(usage).
Error sentence_of(const CLI::ParseError& problem, const CLI::App& program);

}  // namespace mb::cli
