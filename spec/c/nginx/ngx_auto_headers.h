/* What nginx's configure finds out about headers: for test_nginx_abi.c nothing. */
