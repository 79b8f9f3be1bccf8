-- One database for each service, all of them the user's that the image makes.
CREATE DATABASE brandmesh_costcenter;
CREATE DATABASE brandmesh_sms;
CREATE DATABASE brandmesh_order;
CREATE DATABASE brandmesh_messagecenter;
CREATE DATABASE brandmesh_txim;
CREATE DATABASE brandmesh_gateway;
GRANT ALL PRIVILEGES ON `brandmesh\_%`.* TO 'brandmesh'@'%';
