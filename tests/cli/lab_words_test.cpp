// SPDX-License-Identifier: GPL-2.0-or-later
//
// The words and files of `minibridge lab`, right and wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/program.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class LabWords : public testing::Test {
 protected:
  LabWords() { ::setenv("XDG_RUNTIME_DIR", program_.directory().c_str(), 1); }
  ~LabWords() override { static_cast<void>(Program::mb("lab down --all")); }

  static void expect_error(const std::string& words, int status, const std::string& sentence, const std::string& hint) {
    const auto finished = Program::mb(words);
    EXPECT_EQ(finished.status, status) << words;
    EXPECT_THAT(finished.err, StartsWith("error: " + sentence)) << words;
    EXPECT_THAT(finished.err, HasSubstr("\nhint: " + hint)) << words;
  }

  // A topology of one node with these words.
  std::string node(const std::string& words) const {
    return program_.write("t.yaml", "nodes:\n  a:\n    about: alone\n    " + words + "\n");
  }

  World world_;
  Program program_;
};

TEST_F(LabWords, WhatIsNoFileIsRefusedWithAHint) {
  expect_error("lab up " + program_.directory() + "/", 2, "'" + program_.directory() + "/' is a directory",
               "docs/lab.md describes topology files");
  expect_error("lab up " + program_.directory() + "/none.yaml", 1,
               "cannot open '" + program_.directory() + "/none.yaml'", "docs/lab.md describes topology files");
  expect_error("scenario run " + program_.directory() + "/", 2, "'" + program_.directory() + "/' is a directory",
               "docs/scenario-format.md describes scenario files");
}

TEST_F(LabWords, AWrongFileNamesThePageThatDescribesIt) {
  expect_error("lab up " + program_.write("w.yaml", "nodes: {a: {kind: 3, kind: 4}}\n"), 2,
               program_.directory() + "/w.yaml:1: 'kind' is given twice", "docs/lab.md describes topology files");
  expect_error("lab up " + program_.write("w.yaml", "nods: {}\n"), 2,
               program_.directory() + "/w.yaml:1: ", "did you mean 'nodes'?");
  expect_error("scenario run " + program_.write("w.yaml", "title: 3\ntitle: 4\n"), 2,
               program_.directory() + "/w.yaml:2: ", "docs/scenario-format.md describes scenario files");
}

// What shows only when the lab is built.
TEST_F(LabWords, WhatCannotBeBuiltIsNamedWithItsNodeAndItsLine) {
  const std::string file = program_.directory() + "/t.yaml:4: ";
  const auto said = [&](const std::string& words) { return Program::mb("lab up " + node(words)).err; };
  EXPECT_THAT(said("sysctls: {net.ipv4.no_such: 1}"),
              StartsWith("error: " + file + "node 'a': cannot set 'net.ipv4.no_such' to '1'"));
  EXPECT_THAT(said("services: [{command: [/no/such]}]"),
              StartsWith("error: " + file + "node 'a': cannot start service '/no/such': cannot execute '/no/such'"));
  EXPECT_THAT(said("services: [{echo: 80}, {name: b, echo: 80}]"),
              StartsWith("error: " + file + "node 'a': cannot start service 'b': "));
  EXPECT_THAT(said("setup: ['ls /nope']"),
              StartsWith("error: " + file + "node 'a': its setup failed with status 2: ls"));
}

TEST_F(LabWords, ATopologyOfAScenarioIsFoundBesideItsFile) {
  program_.write("top.yaml", "nodes: {a: {}}\n");
  const auto scenario = program_.write("s.yaml",
                                       "title: {en: T, zh: T}\nsummary: {en: S, zh: S}\ntopology: ./top.yaml\nsteps:\n"
                                       "  - want: {en: W, zh: W}\n    run: [{node: a, command: \"true\"}]\n");
  const auto finished = sh("cd / && minibridge scenario run " + scenario);
  EXPECT_EQ(finished.status, 0) << finished.err;
}

TEST_F(LabWords, HelpHasAnExample) {
  EXPECT_THAT(Program::must_mb("lab --help"), HasSubstr("Example: minibridge lab up"));
}

// A drawing has interfaces and addresses; what is inside of a node its description says.
TEST_F(LabWords, TheDrawingIsFollowedByWhatTheNodesAre) {
  EXPECT_THAT(Program::must_mb("lab graph --topology docker-host"),
              HasSubstr("\nhost: web in front (port 8080 is published), db at the back\n"));
}

}  // namespace
}  // namespace mb::test
