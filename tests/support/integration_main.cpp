// SPDX-License-Identifier: GPL-2.0-or-later
//
// The start of every test that touches the kernel: leave the real machine, then test.
// Works for root and for anybody else, and any number of these run side by side.
#include <gtest/gtest.h>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string_view>

#include "netns/netns.h"
#include "tests/support/world.h"

namespace {

// The build asks for the names of the tests where there may be no privilege for a world.
bool only_lists_tests(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--gtest_list_tests") return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (!only_lists_tests(argc, argv)) mb::test::enter_test_machine();
  } catch (const std::exception& e) {
    std::cerr << "the tests need network namespaces of their own: " << e.what() << '\n';
    return EXIT_FAILURE;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
