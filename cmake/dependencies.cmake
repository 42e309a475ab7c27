# Third-party code, as targets that the rooms link by name:
#   cogwork_boost     headers for Asio, Process v2 and Uuid
#   cogwork_msgpack   msgpack-c
#   SQLiteCpp         found, or fetched
#   GTest::gmock      with the tests only
#   benchmark::benchmark   with the benchmarks only
#
# An installed package is taken first. Two packages, Boost's headers and msgpack-c, are also published as Python packages that
# hold nothing but headers; the build requirements in pyproject.toml name them, and the interpreter is asked where
# they are. Only COGWORK_FETCH_DEPS=ON downloads anything. All of them are SYSTEM includes: their warnings are not ours.
include(FetchContent)
find_package(Threads REQUIRED)

# The interpreter is wanted, not needed: the core can be built without Python when the headers are found elsewhere.
if(NOT Python_EXECUTABLE AND EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
  set(Python_EXECUTABLE "${PROJECT_SOURCE_DIR}/.venv/bin/python")
endif()
if(COGWORK_BUILD_PYTHON)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
else()
  find_package(Python 3.10 QUIET COMPONENTS Interpreter)
endif()

# cogwork_find_headers(<variable> PACKAGE <python package> HEADER <file>): the folder that holds HEADER, or <variable>-NOTFOUND.
# Order: what the user gave, the Python package, the system's include paths.
function(cogwork_find_headers variable)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PACKAGE;HEADER" "")
  if(NOT ${variable} AND Python_EXECUTABLE)
    # find_spec does not import the package, so it needs nothing that the package itself would import.
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c
        "import importlib.util as u, pathlib as p; print((p.Path(u.find_spec('${arg_PACKAGE}').origin).parent / 'include').as_posix())"
      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
    if(NOT failed AND EXISTS "${folder}/${arg_HEADER}")
      set(${variable} "${folder}" CACHE PATH "Folder that holds ${arg_HEADER}" FORCE)
    endif()
  endif()
  find_path(${variable} NAMES "${arg_HEADER}" DOC "Folder that holds ${arg_HEADER}")
endfunction()

function(cogwork_missing what package)
  message(FATAL_ERROR "${what} was not found. Install ${package}, or configure with -DCOGWORK_FETCH_DEPS=ON to download it.")
endfunction()

# ---- Boost ----
# boost/process/v2.hpp asks for 1.80 or later, so an old system Boost is passed over.
cogwork_find_headers(COGWORK_BOOST_INCLUDE_DIR PACKAGE boost_headers HEADER boost/process/v2.hpp)
if(NOT COGWORK_BOOST_INCLUDE_DIR)
  if(NOT COGWORK_FETCH_DEPS)
    cogwork_missing("boost/process/v2.hpp" "the Python package boost-headers (or pass -DCOGWORK_BOOST_INCLUDE_DIR=...)")
  endif()
  FetchContent_Declare(boost
    URL https://archives.boost.io/release/1.85.0/source/boost_1_85_0.tar.bz2
    URL_HASH SHA256=7009fe1faa1697476bdc7027703a2badb84e849b7b0baad5086b087b971f8617
    SOURCE_SUBDIR headers-only)   # a folder that does not exist: the headers are used, Boost's build is not
  FetchContent_MakeAvailable(boost)
  set(COGWORK_BOOST_INCLUDE_DIR "${boost_SOURCE_DIR}" CACHE PATH "" FORCE)
endif()
add_library(cogwork_boost INTERFACE)
target_include_directories(cogwork_boost SYSTEM INTERFACE "${COGWORK_BOOST_INCLUDE_DIR}")
target_compile_definitions(cogwork_boost INTERFACE
  BOOST_ALL_NO_LIB
  BOOST_ERROR_CODE_HEADER_ONLY
  BOOST_PROCESS_USE_STD_FS          # without it Process v2 wants the compiled Boost.Filesystem
  BOOST_PROCESS_V2_HEADER_ONLY
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_VISIBILITY)
target_link_libraries(cogwork_boost INTERFACE Threads::Threads)

# ---- msgpack-c ----
cogwork_find_headers(COGWORK_MSGPACK_INCLUDE_DIR PACKAGE msgpack_cxx HEADER msgpack.hpp)
if(NOT COGWORK_MSGPACK_INCLUDE_DIR)
  if(NOT COGWORK_FETCH_DEPS)
    cogwork_missing("msgpack.hpp" "the Python package msgpack-cxx (or pass -DCOGWORK_MSGPACK_INCLUDE_DIR=...)")
  endif()
  FetchContent_Declare(msgpack
    GIT_REPOSITORY https://github.com/msgpack/msgpack-c.git GIT_TAG cpp-7.0.0 GIT_SHALLOW ON SOURCE_SUBDIR headers-only)
  FetchContent_MakeAvailable(msgpack)
  set(COGWORK_MSGPACK_INCLUDE_DIR "${msgpack_SOURCE_DIR}/include" CACHE PATH "" FORCE)
endif()
add_library(cogwork_msgpack INTERFACE)
target_include_directories(cogwork_msgpack SYSTEM INTERFACE "${COGWORK_MSGPACK_INCLUDE_DIR}")
target_compile_definitions(cogwork_msgpack INTERFACE MSGPACK_NO_BOOST)

# ---- SQLiteCpp ----
find_package(SQLiteCpp 3.2 CONFIG QUIET)
if(NOT SQLiteCpp_FOUND)
  if(NOT COGWORK_FETCH_DEPS)
    cogwork_missing("SQLiteCpp" "libsqlitecpp-dev and libsqlite3-dev (Debian's names)")
  endif()
  set(SQLITECPP_RUN_CPPLINT OFF CACHE BOOL "" FORCE)
  set(SQLITECPP_RUN_CPPCHECK OFF CACHE BOOL "" FORCE)
  set(SQLITECPP_INSTALL OFF CACHE BOOL "" FORCE)
  FetchContent_Declare(SQLiteCpp
    GIT_REPOSITORY https://github.com/SRombauts/SQLiteCpp.git GIT_TAG 3.3.2 GIT_SHALLOW ON)
  FetchContent_MakeAvailable(SQLiteCpp)
endif()

# ---- GoogleTest ----
if(COGWORK_BUILD_TESTS)
  find_package(GTest 1.12 CONFIG QUIET)
  if(NOT GTest_FOUND)
    if(NOT COGWORK_FETCH_DEPS)
      cogwork_missing("GoogleTest" "libgtest-dev and libgmock-dev (Debian's names), or leave the tests out with -DCOGWORK_BUILD_TESTS=OFF")
    endif()
    set(INSTALL_GTEST OFF CACHE BOOL "" FORCE)
    FetchContent_Declare(googletest
      GIT_REPOSITORY https://github.com/google/googletest.git GIT_TAG v1.14.0 GIT_SHALLOW ON)
    FetchContent_MakeAvailable(googletest)
  endif()
endif()

# ---- Google Benchmark ----
if(COGWORK_BUILD_BENCHMARKS)
  find_package(benchmark 1.7 CONFIG QUIET)
  if(NOT benchmark_FOUND)
    if(NOT COGWORK_FETCH_DEPS)
      cogwork_missing("Google Benchmark" "libbenchmark-dev (Debian's name)")
    endif()
    set(BENCHMARK_ENABLE_TESTING OFF CACHE BOOL "" FORCE)
    set(BENCHMARK_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
    FetchContent_Declare(benchmark
      GIT_REPOSITORY https://github.com/google/benchmark.git GIT_TAG v1.8.3 GIT_SHALLOW ON)
    FetchContent_MakeAvailable(benchmark)
  endif()
endif()

# ---- pybind11 ----
if(COGWORK_BUILD_PYTHON)
  set(PYBIND11_FINDPYTHON ON)
  if(NOT pybind11_DIR AND NOT SKBUILD)
    execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
      OUTPUT_VARIABLE _pybind11_dir OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _failed ERROR_QUIET)
    if(NOT _failed)
      set(pybind11_DIR "${_pybind11_dir}" CACHE PATH "Folder of pybind11Config.cmake")
    endif()
  endif()
  find_package(pybind11 3.0 CONFIG REQUIRED)
endif()
