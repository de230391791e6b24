// SPDX-License-Identifier: GPL-2.0-or-later
//
// A full disk: the state directory is a small tmpfs with a file that fills it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/mount.h>

#include <filesystem>
#include <string>

#include "src/base/error.h"
#include "tests/support/fault_cli.h"
#include "tests/support/fault_host.h"

namespace mb::test {
namespace {

using testing::HasSubstr;

// Below the state directory of a CliHost a file system of that size, from the beginning.
class SmallDisk {
 public:
  SmallDisk(const std::string& directory, const std::string& size) : directory_(directory) {
    must("mkdir -p -m 0700 " + directory + " && mount -t tmpfs -o mode=0700,size=" + size + " tmpfs " + directory);
  }
  ~SmallDisk() { ::umount2(directory_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // Leaves `pages` of 4 KiB.
  void fill(int pages) const {
    sh("dd if=/dev/zero of=" + directory_ + "/filler bs=4096 2>/dev/null");
    if (pages > 0) must("truncate -s -" + std::to_string(pages * 4096) + " " + directory_ + "/filler");
  }
  void clear() const { must("rm -f " + directory_ + "/filler"); }

 private:
  std::string directory_;
};

// One sentence and a hint; which file met the full disk first is not the same on every kernel.
void expect_says_so(const netns::Finished& finished) {
  EXPECT_NE(finished.status, 0);
  EXPECT_THAT(finished.err, testing::StartsWith("error: cannot "));
  EXPECT_THAT(finished.err, testing::AnyOf(HasSubstr("no space left"), HasSubstr("No space left on device (ENOSPC)")));
  EXPECT_EQ(finished.out, "");
}

TEST(FullDisk, TheFirstVerbSaysSoAndLeavesEverythingAsItWas) {
  const CliHost host;
  const auto before = look_at_host();
  const SmallDisk disk(host.state_dir(), "2M");
  disk.fill(0);
  for (const std::string verb : {"create web", "network create n1", "run -d --name web -p 8080:80 -- sleep 1000"}) {
    SCOPED_TRACE(verb);
    expect_says_so(host.mb(verb));
    EXPECT_EQ(look_at_host(), before);
  }
  disk.clear();
  EXPECT_EQ(host.mb("create web").status, 0);
  EXPECT_EQ(host.complaints(), "");
  EXPECT_EQ(host.mb("down").status, 0);
}

// With a little room the verb comes further before it meets the end; wherever that is, it leaves nothing.
TEST(FullDisk, WhereverAVerbMeetsItNothingIsLeft) {
  const CliHost host;
  const SmallDisk disk(host.state_dir(), "2M");
  ASSERT_EQ(host.mb("create box").status, 0);
  const auto before = look_at_host();
  const auto wishes = dump_wishes(host.state_dir());
  int failures = 0;
  for (const std::string verb : {"create --publish 80 a b c", "network create n1", "publish box 8443:443",
                                 "run -d --name web -p 8080:80 -- sleep 1000"}) {
    for (int pages = 0; pages < 14; ++pages) {
      SCOPED_TRACE(verb + " with " + std::to_string(pages) + " pages left");
      disk.fill(pages);
      const auto finished = host.mb(verb);
      EXPECT_EQ(host.settle(), "");
      if (finished.status == 0) {
        disk.clear();
        EXPECT_EQ(host.mb("repair --check").status, 0);
        if (host.has("a")) host.mb("rm a b c");
        if (host.has("web")) host.mb("rm -f web");
        host.mb("network rm n1");
        host.mb("unpublish box 443");
        break;
      }
      ++failures;
      expect_says_so(finished);
      EXPECT_EQ(look_at_host(), before);
      EXPECT_EQ(dump_wishes(host.state_dir()), wishes);
      disk.clear();
      EXPECT_EQ(host.complaints(), "");
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_GE(failures, 4);
}

// Nothing can be written, so nothing is decided and nothing is taken away; with room again it works.
TEST(FullDisk, ARemovalThatCannotBeWrittenDownRemovesNothing) {
  const CliHost host;
  const SmallDisk disk(host.state_dir(), "2M");
  ASSERT_EQ(host.mb("create --publish 8080:80 box").status, 0);
  const auto before = look_at_host();
  const auto wishes = dump_wishes(host.state_dir());
  disk.fill(0);
  const auto finished = host.mb("rm box");
  if (finished.status != 0) {
    expect_says_so(finished);
    EXPECT_EQ(look_at_host(), before);
    EXPECT_EQ(dump_wishes(host.state_dir()), wishes);
  }
  disk.clear();
  host.mb("rm box");
  EXPECT_FALSE(host.has("box"));
  EXPECT_EQ(host.complaints(), "");
}

}  // namespace
}  // namespace mb::test
