#include "globs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tool {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class globs : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "oneloop-globs-XXXXXX";
    root_ = ::mkdtemp(name.data());
    for (const char* file : {"a.md", "b.md", ".hidden.md", "docs/c.md", "docs/deep/er/d.md",
                             "docs/deep/e.html", ".git/f.md"}) {
      fs::create_directories((root_ / file).parent_path());
      std::ofstream{root_ / file} << "x";
    }
    fs::create_directory_symlink(root_, root_ / "docs" / "loop");
  }
  void TearDown() override { fs::remove_all(root_); }
  std::vector<std::string> expanded(const std::string& pattern) const {
    auto found = expand_glob((root_ / pattern).string());
    for (auto& f : found) f = f.substr(root_.string().size() + 1);
    return found;
  }
  fs::path root_;
};

TEST_F(globs, stand_for_names_in_a_directory) {
  EXPECT_THAT(expanded("*.md"), ElementsAre("a.md", "b.md"));
  EXPECT_THAT(expanded("[b-z].md"), ElementsAre("b.md"));
  EXPECT_THAT(expanded("?.md"), ElementsAre("a.md", "b.md"));
  EXPECT_THAT(expanded("d*/c.md"), ElementsAre("docs/c.md"));
  EXPECT_THAT(expanded(".h*.md"), ElementsAre(".hidden.md"));
  EXPECT_THAT(expanded("*.txt"), IsEmpty());
  EXPECT_THAT(expanded("none/*.md"), IsEmpty());
}

TEST_F(globs, two_stars_stand_for_directories_of_any_depth_and_links_are_not_followed) {
  EXPECT_THAT(expanded("**/*.md"), ElementsAre("a.md", "b.md", "docs/c.md", "docs/deep/er/d.md"));
  EXPECT_THAT(expanded("docs/**/er/*"), ElementsAre("docs/deep/er/d.md"));
}

TEST_F(globs, are_told_from_urls_and_from_files_of_that_name) {
  EXPECT_TRUE(is_glob("docs/*.md"));
  EXPECT_FALSE(is_glob("docs/a.md"));
  EXPECT_FALSE(is_glob("http://a/*"));
  EXPECT_FALSE(is_glob("[::1]:8080/"));
  std::ofstream{root_ / "a*b"} << "x";
  EXPECT_FALSE(is_glob((root_ / "a*b").string()));
}

}  // namespace
}  // namespace tool
