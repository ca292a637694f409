# cmake --install BUILD --prefix P: what a node and those who write for it need.  The target `programs` builds all of it.  Paths are relative to
# each other, so that P may be moved.
include(GNUInstallDirs)

install(TARGETS chi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS chimaerad chictl chi-perf chi-demo chi-wire RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS chimod_admin chimod_echo chimod_perf chimod_remote_queue LIBRARY DESTINATION lib/chimods) # the daemon's default, from its own folder
set_target_properties(chictl chi-perf chi-demo PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")

install(DIRECTORY include/chi DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES chimods/admin/admin.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/chimods/admin)
install(FILES chimods/echo/echo.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/chimods/echo)
install(FILES chimods/perf/perf.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/chimods/perf)

install(PROGRAMS tools/chi-mod DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES tools/lib.sh DESTINATION share/chimaera)
install(DIRECTORY tools/mod DESTINATION share/chimaera)

file(RELATIVE_PATH CHI_PREFIX_UP /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p) # from chimaera.pc to the prefix
configure_file(cmake/chimaera.pc.in ${CMAKE_BINARY_DIR}/chimaera.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/chimaera.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
